"""A change of a run is sent to the readers of its log, and to nobody else."""

from uuid import UUID

import pytest
from channels.layers import InMemoryChannelLayer, get_channel_layer

from cronium_admin.core import notify


def test_a_change_without_a_reader_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, sent = get_channel_layer(), list[str]()
    assert isinstance(layer, InMemoryChannelLayer)

    class Recorder:
        def enqueue(self, names: list[str]) -> None:
            sent.extend(names)

    monkeypatch.setattr(notify, "_get_sender", Recorder)
    read, unread = UUID(int=1), UUID(int=2)
    notify.publish_changed([read, unread])
    assert sent == []
    monkeypatch.setitem(layer.groups, notify.make_group_name(read), {"channel": 1.0})
    notify.publish_changed([read, unread])
    assert sent == [notify.make_group_name(read)]
