"""Parses LaTeX and plain mathematics into a small tree, with bounds on size and depth and nothing evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from rl_reason_verifiers._tokens import Cursor, Node, Unreadable, number, tokens
from rl_reason_verifiers._words import BREAKS, CONSTANTS, FUNCTIONS, RELATIONS, SETS, UNREAD, environment, starts_unit

MAX_DEPTH = 40
"""Of brackets, arguments and scripts within each other."""
MAX_TREE_DEPTH = 100


def parse(text: str) -> Node:
    """The tree of one answer (already `normal`).

    Raises:
        Unreadable: see the class.
    """
    node = _Parser(Cursor(tokens(text))).answer()
    _check_depth(node)
    return node


def _check_depth(root: Node) -> None:
    level = [root]
    for _ in range(MAX_TREE_DEPTH):
        level = [argument for node in level for argument in node.args]
        if not level:
            return
    raise Unreadable(f"a tree deeper than {MAX_TREE_DEPTH}")


def _chain(op: str, left: Node, right: Node) -> Node:
    """left op right, with a long sum or product in one node rather than a deep tree."""
    return Node(op, (*left.args, right)) if left.op == op else Node(op, (left, right))


class _Parser:
    """Recursive descent; one method for each level of the grammar, loosest first."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._depth = 0

    def answer(self) -> Node:
        node = self._list()
        if self._cursor.kind() != "end":
            raise Unreadable(f"left over from {self._cursor.value()!r}")
        return node

    # --- lists and relations ---

    def _deeper(self, rule: Callable[[], Node]) -> Node:
        """Apply a rule one level down; an error leaves the count wrong, but also the parse over."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}")
        node = rule()
        self._depth -= 1
        return node

    def _list(self) -> Node:
        items = [self._relation()]
        while self._cursor.accept(",", ";"):
            items.append(self._relation())
        return items[0] if len(items) == 1 else Node("list", tuple(items))

    def _relation(self) -> Node:
        items, relations = [self._sets()], []
        while self._cursor.kind() in ("sign", "command") and self._cursor.value() in RELATIONS:
            relations.append(RELATIONS[self._cursor.value()])
            self._cursor.skip()
            items.append(self._sets())
        return Node("rel", tuple(items), " ".join(relations)) if relations else items[0]

    def _sets(self) -> Node:
        node = self._sum()
        while self._cursor.kind() == "command" and self._cursor.value() in SETS:
            op = SETS[self._cursor.value()]
            self._cursor.skip()
            other = self._sum()
            node = Node(op, (*node.args, other)) if node.op == op == "union" else Node(op, (node, other))
        return node

    # --- arithmetic ---

    def _sum(self) -> Node:
        node = self._signed()
        while self._cursor.sees("+", "-", "\\pm", "\\mp"):
            sign = self._cursor.value()
            self._cursor.skip()
            other = self._signed_product() if sign in "+-" else self._product()
            if sign in "+-":
                node = _chain("add", node, other if sign == "+" else Node("neg", (other,)))
            else:
                node = _chain("add", node, Node("pm", (other,), sign[1:]))
        return node

    def _signed(self) -> Node:
        if self._cursor.sees("\\pm", "\\mp"):
            sign = self._cursor.value()[1:]
            self._cursor.skip()
            return Node("pm", (self._product(),), sign)
        return self._signed_product()

    def _signed_product(self) -> Node:
        negative = False
        while self._cursor.sees("+", "-"):
            negative ^= self._cursor.value() == "-"
            self._cursor.skip()
        node = self._product()
        return Node("neg", (node,)) if negative else node

    def _product(self) -> Node:
        node = self._power()
        while True:
            if self._cursor.accept("*", "\\cdot", "\\times", "\\ast"):
                node = _chain("mul", node, self._factor())
            elif self._cursor.accept("/", "\\div", ":"):
                node = Node("div", (node, self._factor()))
            elif starts_unit(self._cursor):
                node = Node("unit", (node,), self._unit())
            elif self._starts_factor():
                node = self._adjoin(node)
            else:
                return node

    def _factor(self) -> Node:
        return self._deeper(self._signed_factor)

    def _signed_factor(self) -> Node:
        if self._cursor.sees("-", "+"):
            sign = self._cursor.value()
            self._cursor.skip()
            return Node("neg", (self._factor(),)) if sign == "-" else self._factor()
        return self._power()

    def _adjoin(self, node: Node) -> Node:
        """Two things side by side: a mixed number, or a product."""
        fraction = self._cursor.sees("\\frac")
        if node.op == "num" and self._cursor.kind() in ("number", "thousands", "spaced"):
            raise Unreadable("two numbers side by side")
        other = self._power()
        mixed = fraction and node.op == "num" and node.decimals < 0 and other.op == "div"
        if mixed and all(part.op == "num" for part in other.args):
            return Node("add", (node, other))
        return _chain("mul", node, other)

    def _starts_factor(self) -> bool:
        kind, value = self._cursor.kind(), self._cursor.value()
        if kind == "sign":
            return value in "({"
        return kind in ("number", "word", "mixed", "thousands", "spaced") or (kind == "command" and value not in BREAKS)

    def _power(self) -> Node:
        node = self._postfix()
        if self._cursor.accept("^"):
            return Node("pow", (node, self._script()))
        return node

    def _postfix(self) -> Node:
        node = self._atom()
        while True:
            if self._cursor.accept("!"):
                node = Node("fact", (node,))
            elif self._cursor.accept("%"):
                node = Node("percent", (node,))
            elif self._cursor.accept("\\circ"):
                node = Node("degree", (node,))
            elif self._cursor.accept("'"):
                node = Node("mul", (node, Node("sym", value="'")))
            else:
                return node

    def _script(self) -> Node:
        """What follows ^ or _: a group, a number with its sign, or one command."""
        return self._deeper(self._bare_script)

    def _bare_script(self) -> Node:
        if self._cursor.accept("{"):
            node = self._list()
            self._cursor.expect("}")
            return node
        if self._cursor.sees("-", "+"):
            return self._factor()
        if self._cursor.kind() == "number" and "." not in self._cursor.value():
            self._cursor.skip()
            return number(self._cursor.value(-1))
        node = self._atom()
        return Node("pow", (node, self._script())) if self._cursor.accept("^") else node

    def _digit(self) -> Node:
        """One digit of a number, as TeX takes it in \\frac12 and \\sqrt3."""
        return number(self._cursor.take_character())

    # --- atoms ---

    def _atom(self) -> Node:
        return self._deeper(self._bare_atom)

    def _bare_atom(self) -> Node:
        kind, value = self._cursor.kind(), self._cursor.value()
        if kind == "word":
            return self._word()
        self._cursor.skip()
        if kind in ("number", "thousands", "spaced"):
            return self._based(value) if self._cursor.accept("_") else number(value)
        if kind == "mixed":
            whole, above, below = re.split(r"[ /]+", value.replace(" /", "/").replace("/ ", "/"))
            fraction = Node("div", (number(above), number(below)))
            return Node("add", (number(whole), fraction))
        if kind == "text":
            return self._subscripted(Node("sym", value=value) if len(value) == 1 else Node("text", value=value))
        if kind == "sign":
            return self._bracketed(value)
        if kind == "command":
            return self._command(value[1:])
        raise Unreadable("ends too early")

    def _based(self, digits: str) -> Node:
        base = self._script()
        if base.op != "num" or not isinstance(base.value, Fraction) or not 2 <= base.value <= 36:
            raise Unreadable("a subscript on a number is a base from 2 to 36")
        try:
            return Node("num", value=Fraction(int(digits, int(base.value))))
        except ValueError as error:
            raise Unreadable(f"{digits} has digits that base {base.value} has not") from error

    def _bracketed(self, bracket: str) -> Node:
        if bracket == "|":
            node = self._sum()
            self._cursor.expect("|")
            return Node("call", (node,), "abs")
        if bracket == "{":
            node = self._list()
            self._cursor.expect("}")
            return node
        if bracket not in "([":
            raise Unreadable(f"cannot begin with {bracket!r}")
        node = self._list()
        items = node.args if node.op == "list" else (node,)
        if not self._cursor.sees(")", "]"):
            raise Unreadable(f"bracket {bracket} is not closed")
        self._cursor.skip()
        closing = self._cursor.value(-1)
        if len(items) == 1 and bracket == "(" and closing == ")":
            return items[0]
        if bracket == "(" and closing == ")":
            return Node("tuple", items)
        if bracket == "[" and closing == "]" and len(items) != 2:
            return Node("tuple", items)
        if len(items) != 2:
            raise Unreadable("an interval has two ends")
        return Node("interval", items, bracket + closing)

    def _word(self) -> Node:
        word = self._cursor.value()
        if word in FUNCTIONS:
            self._cursor.skip()
            return self._call(word)
        if word in CONSTANTS:
            self._cursor.skip()
            return Node("sym", value=CONSTANTS[word])
        if len(word) >= 4:
            self._cursor.skip()
            return Node("text", value=word)
        return self._subscripted(Node("sym", value=self._cursor.take_character()))  # xy is x times y

    def _subscripted(self, node: Node) -> Node:
        if not self._cursor.accept("_"):
            return node
        script = self._script()
        return Node("sym", value=f"{node.value}_{script.value if script.value is not None else script}")

    def _unit(self) -> str:
        words: list[str] = []
        while starts_unit(self._cursor) or (words and self._cursor.kind() == "word"):
            words.append(self._cursor.value())
            self._cursor.skip()
            if self._cursor.accept("^"):
                words[-1] += f"^{self._script().value}"
            if self._cursor.sees("/") and (self._cursor.kind(1) in ("text", "word")):
                self._cursor.skip()
                words.append("/")
        return " ".join(words)

    def _command(self, name: str) -> Node:
        if name == "frac":
            return Node("div", (self._argument(), self._argument()))
        if name in ("binom", "dbinom", "tbinom"):
            return Node("call", (self._argument(), self._argument()), "binom")
        if name == "{":
            node = self._list()
            self._cursor.expect("\\}")
            return Node("set", node.args if node.op == "list" else (node,))
        if name in ("emptyset", "varnothing"):
            return Node("set")
        if name in ("lfloor", "lceil"):
            node = self._list()
            self._cursor.expect("\\r" + name[1:])
            return Node("call", (node,), name[1:])
        if name == "begin":
            return self._matrix()
        if name in ("sum", "prod"):
            return self._big(name)
        if name in FUNCTIONS:
            return self._call(name)
        if name in ("overline", "bar", "widehat", "hat"):
            return Node("call", (self._argument(),), name)
        if name in UNREAD:
            raise Unreadable(f"\\{name} is not read")
        return self._subscripted(Node("sym", value=CONSTANTS.get(name, name)))

    def _argument(self) -> Node:
        """A braced argument, or one token as TeX takes it."""
        if self._cursor.accept("{"):
            if self._cursor.accept("}"):
                raise Unreadable("an empty argument")
            node = self._list()
            self._cursor.expect("}")
            return node
        if self._cursor.kind() == "number":
            return self._digit()
        return self._atom()

    def _call(self, name: str) -> Node:
        if name == "sqrt":
            index = Node("num", value=Fraction(2))
            if self._cursor.accept("["):
                index = self._sum()
                self._cursor.expect("]")
            if self._cursor.sees("{") and self._cursor.value(1) == "}":  # \sqrt{}{3}
                self._cursor.skip(2)
            inside = self._argument()
            return Node("root", (index, inside))
        base = self._script() if self._cursor.accept("_") else None
        power = self._script() if self._cursor.accept("^") else None
        if self._cursor.accept("("):
            inside = self._list()
            self._cursor.expect(")")
        else:
            inside = self._power()
            while self._starts_factor() and not self._cursor.sees("(") and not self._names_function():
                inside = _chain("mul", inside, self._power())
        arguments = inside.args if inside.op == "list" else (inside,)
        node = Node("call", (*arguments, base) if base is not None else arguments, name)
        return Node("pow", (node, power)) if power is not None else node

    def _names_function(self) -> bool:
        return self._cursor.value().lstrip("\\") in FUNCTIONS

    def _big(self, name: str) -> Node:
        self._cursor.expect("_")
        start = self._script()
        self._cursor.expect("^")
        end = self._script()
        if start.op != "rel" or start.value != "=" or start.args[0].op != "sym" or len(start.args) != 2:
            raise Unreadable(f"\\{name} needs a range like _{{k=1}}^{{n}}")
        return Node("big", (*start.args, end, self._product()), name)

    def _matrix(self) -> Node:
        kind = environment(self._cursor)
        if kind == "array" and self._cursor.accept("{"):
            while not self._cursor.accept("}"):
                if self._cursor.kind() == "end":
                    raise Unreadable("ends in an array's head")
                self._cursor.skip()
        rows: list[Node] = []
        while not self._cursor.sees("\\end"):
            cells = [self._relation()]
            while self._cursor.accept("&"):
                cells.append(self._relation())
            rows.append(Node("row", tuple(cells)))
            if not self._cursor.accept("\\\\") and not self._cursor.sees("\\end"):
                raise Unreadable(f"{self._cursor.value()!r} in a matrix")
        self._cursor.skip()
        if environment(self._cursor) != kind:
            raise Unreadable("a matrix is not closed")
        return Node("matrix", tuple(rows), kind)
