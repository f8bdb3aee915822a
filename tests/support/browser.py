"""A headless Chromium, where the machine has one, driven over a pipe by the Chrome DevTools Protocol.

https://chromedevtools.github.io/devtools-protocol/ has the methods. Messages are JSON with a zero byte behind each.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

PROGRAM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
"""Where it is; empty where there is none."""

TIMEOUT: Final = 30.0
"""Seconds for an answer, on a machine that does much else."""


class Browser:
    """One page. Leaving it ends the browser."""

    def __init__(self, folder: Path) -> None:
        """``folder``: for its profile."""
        from_us, to_us = os.pipe(), os.pipe()
        self._to, self._from = from_us[1], to_us[0]
        # It reads from 3 and writes to 4, which the shell makes of whatever numbers the pipes have.
        script = f'exec "$0" "$@" 3<&{from_us[0]} 4>&{to_us[1]}'
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", script, PROGRAM, *options, "--no-first-run", "about:blank"],
            pass_fds=(from_us[0], to_us[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us[0])
        os.close(to_us[1])
        self._rest = b""
        self._number = 0
        self._session = ""
        self.said: list[dict[str, Any]] = []
        """Events: what the page has logged, thrown, or was refused by its policy."""

    def __enter__(self) -> Browser:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._to)
        self._process.kill()
        self._process.wait()
        os.close(self._from)

    def call(self, method: str, **arguments: object) -> dict[str, Any]:
        """Calls a method of the protocol. Raises AssertionError where it fails."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.said.append(answer)

    def open(self, url: str, *, width: int = 1000, dark: bool = False) -> None:
        """Goes to a page, in a window so wide, of a person who wants it dark or light."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript is there."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def shoot(self, file: Path, *, height: int = 0) -> None:
        """Writes the page into a PNG or WebP file: all of it, or as much as is so high."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "scale": 1, "width": size["width"], "height": height or size["height"]}
        kind = {"format": "webp", "quality": 80} if file.suffix == ".webp" else {"format": "png"}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True, **kind)
        file.write_bytes(base64.b64decode(shot["data"]))

    def troubles(self) -> list[str]:
        """What went wrong in the page until now."""
        self.value("1")  # what came before it is here then
        wrong = ("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")
        return [json.dumps(event["params"]) for event in self.said if event.get("method") in wrong]

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self._from, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer
