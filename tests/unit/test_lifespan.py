"""What happens when the server ends."""

from typing import Any

import pytest

from cronium_admin.hosts import lifespan


async def test_a_part_that_fails_to_end_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []

    def fail() -> None:
        raise RuntimeError("stuck")

    monkeypatch.setattr(lifespan, "on_start", [])
    monkeypatch.setattr(lifespan, "on_stop", [fail, lambda: ended.append("second")])
    asked = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(asked)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await lifespan.run(receive, send)
    assert ended == ["second"]
    assert sent[-1] == "lifespan.shutdown.complete"
    assert "stuck" in caplog.text
