"""The engine's side of a weight update, against recorded calls."""

import pytest

from rl_reason.errors import RolloutError
from rl_reason.types import WeightUpdate

vllm_weights = pytest.importorskip("rl_reason.rollout.vllm_weights", reason="vLLM is not installed")

MEETING = vllm_weights.Rendezvous("10.0.0.7", 4321, 5, 12.5)


def update(transport, location, version=1):
    return WeightUpdate(version, transport, location, ("a", "b"), ((2, 3), (4,)), ("bfloat16", "float32"))


@pytest.fixture
def calls():
    return []


def receiver(calls, **arguments):
    return vllm_weights.WeightReceiver(lambda name, given: calls.append((name, given)), **arguments)


def test_a_meeting_place_survives_its_url():
    assert MEETING.location == "tcp://10.0.0.7:4321?world_size=5&timeout_s=12.5"
    assert vllm_weights.parse_rendezvous(MEETING.location) == MEETING


@pytest.mark.parametrize(
    "location", ["", "/dev/shm/file", "tcp://a:1", "tcp://a?world_size=2&timeout_s=1", "tcp://a:x?world_size=2"]
)
def test_what_is_no_meeting_place_is_said(location):
    with pytest.raises(RolloutError, match="no meeting place"):
        vllm_weights.parse_rendezvous(location)


@pytest.mark.parametrize(("transport", "own"), [("nccl", {"packed": True}), ("gloo", {"timeout_s": 12.5})])
def test_a_broadcast_is_joined_once_and_taken_every_time(calls, transport, own):
    engine = receiver(calls, transport=transport, rank_offset=3)
    for version in (1, 2):
        engine.load(update(transport, MEETING.location, version))
    told = {"names": ["a", "b"], "dtype_names": ["bfloat16", "float32"], "shapes": [[2, 3], [4]]}
    place = {"master_address": "10.0.0.7", "master_port": 4321, "rank_offset": 3, "world_size": 5}
    once = [("start_weight_update", {}), ("update_weights", {"update_info": told}), ("finish_weight_update", {})]
    assert calls == [("init_weight_transfer_engine", {"init_info": place | own}), *once, *once]


def test_another_transport_is_refused_before_anything_is_called(calls):
    with pytest.raises(RolloutError, match="takes weights by nccl, and version 1 came by disk"):
        receiver(calls, transport="nccl").load(update("disk", "/file"))
    assert calls == []


def test_with_cuda_ipc_the_handles_stay_in_their_file(calls):
    receiver(calls, transport="cuda_ipc").load(update("cuda_ipc", "/run/handles"))
    assert ("update_weights", {"update_info": {"path": "/run/handles"}}) in calls


@pytest.mark.parametrize(("transport", "location"), [("cuda_ipc", "/run/handles"), ("nccl", MEETING.location)])
def test_what_workers_are_told_survives_vllms_message_format(calls, transport, location):
    """On GPUs the engine core is another process, and vLLM refuses to pickle what it sends there."""
    serial = pytest.importorskip("vllm.v1.serial_utils", reason="vLLM is not installed")
    receiver(calls, transport=transport).load(update(transport, location))
    for name, arguments in calls:
        sent = serial.MsgpackEncoder().encode((1, "collective_rpc", (name, None, (), arguments)))
        assert serial.MsgpackDecoder().decode(sent[0])[2][3] == arguments
