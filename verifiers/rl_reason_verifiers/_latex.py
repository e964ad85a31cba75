"""Parses LaTeX and plain mathematics into a small tree, with bounds on size and depth and nothing evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from rl_reason_verifiers._forms import big, braces, call, matrix, unevaluated
from rl_reason_verifiers._tokens import Cursor, Node, TooLong, Unreadable, chain, number, tokens
from rl_reason_verifiers._words import BREAKS, CONSTANTS, FUNCTIONS, RELATIONS, SETS, UNEVALUATED, UNREAD, starts_unit

MAX_DEPTH = 40
"""Of brackets, arguments and scripts within each other."""
MAX_TREE_DEPTH = 100


def parse(text: str) -> Node:
    """The tree of one answer (already `normal`).

    Raises:
        Unreadable: see the class.
    """
    node = Parser(Cursor(tokens(text))).answer()
    _check_depth(node)
    return node


def _check_depth(root: Node) -> None:
    level = [root]
    for _ in range(MAX_TREE_DEPTH):
        level = [argument for node in level for argument in node.args]
        if not level:
            return
    raise TooLong(f"a tree deeper than {MAX_TREE_DEPTH}")


class Parser:
    """Recursive descent; one method for each level of the grammar, loosest first."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._depth = 0
        self._bars = 0

    def answer(self) -> Node:
        node = self.items()
        if self.cursor.kind() != "end":
            raise Unreadable(f"left over from {self.cursor.value()!r}")
        return node

    # --- lists and relations ---

    def deeper(self, rule: Callable[[], Node]) -> Node:
        """Apply a rule one level down; an error leaves the count wrong, but also the parse over."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooLong(f"nested deeper than {MAX_DEPTH}")
        node = rule()
        self._depth -= 1
        return node

    def items(self) -> Node:
        items, joined = [self.relation()], None
        while self.cursor.sees(",", ";", "\\lor", "\\land"):
            joined = {"\\lor": "or", "\\land": "and"}.get(self.cursor.value(), joined)
            self.cursor.skip()
            items.append(self.relation())
        return items[0] if len(items) == 1 else Node("list", tuple(items), joined)

    def relation(self) -> Node:
        items, relations = [self._sets()], []
        while self.cursor.kind() in ("sign", "command") and self.cursor.value() in RELATIONS:
            relations.append(RELATIONS[self.cursor.value()])
            self.cursor.skip()
            items.append(self._sets())
        if self.cursor.accept("\\pmod", "\\bmod", "\\mod"):
            return Node("mod", (items[-1], self.argument()))
        return Node("rel", tuple(items), " ".join(relations)) if relations else items[0]

    def _sets(self) -> Node:
        node = self.sum()
        while self.cursor.kind() == "command" and self.cursor.value() in SETS:
            op = SETS[self.cursor.value()]
            self.cursor.skip()
            other = self.sum()
            node = Node(op, (*node.args, other)) if node.op == op == "union" else Node(op, (node, other))
        return node

    # --- arithmetic ---

    def sum(self) -> Node:
        node = self._signed()
        while self.cursor.sees("+", "-", "\\pm", "\\mp"):
            sign = self.cursor.value()
            self.cursor.skip()
            other = self._signed_product() if sign in "+-" else self.product()
            if sign in "+-":
                node = chain("add", node, other if sign == "+" else Node("neg", (other,)))
            else:
                node = chain("add", node, Node("pm", (other,), sign[1:]))
        return node

    def _signed(self) -> Node:
        if self.cursor.sees("\\pm", "\\mp"):
            sign = self.cursor.value()[1:]
            self.cursor.skip()
            return Node("pm", (self.product(),), sign)
        return self._signed_product()

    def _signed_product(self) -> Node:
        negative = False
        while self.cursor.sees("+", "-"):
            negative ^= self.cursor.value() == "-"
            self.cursor.skip()
        node = self.product()
        return Node("neg", (node,)) if negative else node

    def product(self) -> Node:
        node = self.power()
        while True:
            if self.cursor.accept("*", "\\cdot", "\\times", "\\ast"):
                node = chain("mul", node, self._factor())
            elif self.cursor.accept("/", "\\div"):
                node = Node("div", (node, self._factor()))
            elif self.cursor.accept(":"):
                node = chain("ratio", node, self._factor())
            elif starts_unit(self.cursor):
                node = Node("unit", (node,), self._unit())
                if self.cursor.kind() == "number":  # 5 ft 4 in
                    return chain("add", node, self.product())
            elif self.starts_factor():
                node = self._adjoin(node)
            else:
                return node

    def _factor(self) -> Node:
        return self.deeper(self._signed_factor)

    def _signed_factor(self) -> Node:
        if self.cursor.sees("-", "+"):
            sign = self.cursor.value()
            self.cursor.skip()
            return Node("neg", (self._factor(),)) if sign == "-" else self._factor()
        return self.power()

    def _adjoin(self, node: Node) -> Node:
        """Two things side by side: a mixed number, or a product."""
        fraction = self.cursor.sees("\\frac")
        if node.op == "num" and self.cursor.kind() in ("number", "thousands", "spaced"):
            raise Unreadable("two numbers side by side")
        other = self.power()
        qualified = other.op in ("percent", "degree")
        part = other.args[0] if qualified else other
        mixed = fraction and node.op == "num" and node.decimals < 0 and part.op == "div"
        if mixed and all(number.op == "num" for number in part.args):
            whole = Node("add", (node, part))
            return Node(other.op, (whole,)) if qualified else whole
        return chain("mul", node, other)

    def starts_factor(self) -> bool:
        kind, value = self.cursor.kind(), self.cursor.value()
        if kind == "sign":
            return value in "({" or (value == "|" and not self._bars)
        return kind in ("number", "word", "mixed", "thousands", "spaced") or (kind == "command" and value not in BREAKS)

    def power(self) -> Node:
        node = self._postfix()
        if self.cursor.accept("^"):
            return Node("pow", (node, self.script()))
        return node

    def _postfix(self) -> Node:
        node = self._atom()
        while True:
            if self.cursor.accept("!"):
                node = Node("fact", (node,))
            elif self.cursor.accept("%"):
                node = Node("percent", (node,))
            elif self.cursor.accept("\\circ"):
                node = Node("degree", (node,))
            elif self.cursor.accept("'"):
                node = Node("mul", (node, Node("sym", value="'")))
            else:
                return node

    def script(self) -> Node:
        """What follows ^ or _: a group, a number with its sign, or one command."""
        return self.deeper(self._bare_script)

    def _bare_script(self) -> Node:
        if self.cursor.accept("{"):
            node = self.items()
            self.cursor.expect("}")
            return node
        if self.cursor.sees("-", "+"):
            return self._factor()
        if self.cursor.kind() == "number" and "." not in self.cursor.value():
            self.cursor.skip()
            return number(self.cursor.value(-1))
        node = self._atom()
        return Node("pow", (node, self.script())) if self.cursor.accept("^") else node

    def _digit(self) -> Node:
        """One digit of a number, as TeX takes it in \\frac12 and \\sqrt3."""
        return number(self.cursor.take_character())

    # --- atoms ---

    def _atom(self) -> Node:
        return self.deeper(self._bare_atom)

    def _bare_atom(self) -> Node:
        kind, value = self.cursor.kind(), self.cursor.value()
        if kind == "word":
            return self._word()
        self.cursor.skip()
        if kind in ("number", "thousands", "spaced"):
            return self._based(value) if self.cursor.accept("_") else number(value)
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
        base = self.script()
        if base.op != "num" or not isinstance(base.value, Fraction) or not 2 <= base.value <= 36:
            raise Unreadable("a subscript on a number is a base from 2 to 36")
        try:
            return Node("num", value=Fraction(int(digits, int(base.value))))
        except ValueError as error:
            raise Unreadable(f"{digits} has digits that base {base.value} has not") from error

    def _rebased(self, node: Node) -> Node:
        """(1101)_2, whose digits were read as decimal ones."""
        return self._based(str(node.value))

    def _bracketed(self, bracket: str) -> Node:
        if bracket == "|":
            self._bars += 1
            node = self.sum()
            self.cursor.expect("|")
            self._bars -= 1
            return Node("call", (node,), "abs")
        if bracket == "{":
            node = self.items()
            self.cursor.expect("}")
            return node
        if bracket not in "([":
            raise Unreadable(f"cannot begin with {bracket!r}")
        node = self.items()
        items = node.args if node.op == "list" else (node,)
        if not self.cursor.sees(")", "]"):
            raise Unreadable(f"bracket {bracket} is not closed")
        self.cursor.skip()
        closing = self.cursor.value(-1)
        if len(items) == 1 and bracket == "(" and closing == ")":
            return self._rebased(items[0]) if items[0].op == "num" and self.cursor.accept("_") else items[0]
        if bracket == "(" and closing == ")":
            return Node("tuple", items)
        if bracket == "[" and closing == "]" and len(items) != 2:
            return Node("tuple", items)
        if len(items) != 2:
            raise Unreadable("an interval has two ends")
        return Node("interval", items, bracket + closing)

    def _word(self) -> Node:
        word = self.cursor.value()
        if word in FUNCTIONS:
            self.cursor.skip()
            return call(self, word)
        if word in CONSTANTS:
            self.cursor.skip()
            return Node("sym", value=CONSTANTS[word])
        if len(word) >= 4:
            self.cursor.skip()
            return Node("text", value=word)
        return self._subscripted(Node("sym", value=self.cursor.take_character()))  # xy is x times y

    def _subscripted(self, node: Node) -> Node:
        if not self.cursor.accept("_"):
            return node
        script = self.script()
        return Node("sym", value=f"{node.value}_{script.value if script.value is not None else script}")

    def _unit(self) -> str:
        words: list[str] = []
        while starts_unit(self.cursor) or (words and self.cursor.kind() == "word"):
            words.append(self.cursor.value())
            self.cursor.skip()
            if self.cursor.accept("^"):
                words[-1] += f"^{self.script().value}"
            if self.cursor.sees("/") and (self.cursor.kind(1) in ("text", "word")):
                self.cursor.skip()
                words.append("/")
        return " ".join(words)

    def _command(self, name: str) -> Node:
        if name == "frac":
            return Node("div", (self.argument(), self.argument()))
        if name in ("binom", "dbinom", "tbinom"):
            return Node("call", (self.argument(), self.argument()), "binom")
        if name == "{":
            return braces(self)
        if name in ("langle", "lvert"):
            return self._closed("\\r" + name[1:], *(("tuple",) if name == "langle" else ("call", "abs")))
        if name in ("emptyset", "varnothing"):
            return Node("set")
        if name in ("lfloor", "lceil"):
            return self._closed("\\r" + name[1:], "call", name[1:])
        if name == "begin":
            return matrix(self)
        if name in ("sum", "prod") or name in FUNCTIONS:
            return call(self, name) if name in FUNCTIONS else big(self, name)
        if name in ("overline", "bar", "widehat", "hat"):
            return Node("call", (self.argument(),), name)
        if name in UNEVALUATED:
            return unevaluated(self, name)
        if name in UNREAD:
            raise Unreadable(f"\\{name} is not read")
        return self._subscripted(Node("sym", value=CONSTANTS.get(name, name)))

    def _closed(self, closing: str, op: str, value: str | None = None) -> Node:
        """What stands between a command such as \\lfloor, already read, and its closing one."""
        node = self.items()
        self.cursor.expect(closing)
        return Node(op, node.args if node.op == "list" else (node,), value)

    def argument(self) -> Node:
        """A braced argument, or one token as TeX takes it."""
        if self.cursor.accept("{"):
            if self.cursor.accept("}"):
                raise Unreadable("an empty argument")
            node = self.items()
            self.cursor.expect("}")
            return node
        if self.cursor.kind() == "number":
            return self._digit()
        return self._atom()
