"""Video files, written picture by picture: MP4 for browsers and phones, and GIF."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from jaxmaze.errors import UserError

MISSING = "a video needs imageio-ffmpeg and pillow: pip install 'jaxmaze[video]'"
QUALITY = 20
"""x264's constant rate factor: smaller is better and larger."""
EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
"""yuv420p, which browsers and phones play, has colours for blocks of two by two pixels."""


def check() -> None:
    """Check that videos can be written.

    Raises:
      UserError: if a package is missing.
    """
    if importlib.util.find_spec("PIL") is None:
        raise UserError(MISSING)
    ffmpeg()


def ffmpeg() -> str:
    """The path of the ffmpeg that imageio-ffmpeg brings.

    Raises:
      UserError: if there is none.
    """
    try:
        import imageio_ffmpeg
    except ImportError:
        raise UserError(MISSING) from None
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise UserError(f"a video needs ffmpeg: {error}") from error


class _Encoder:
    """An encoder that takes pictures ``[H, W, 3]`` uint8 of one size, one by one."""

    def __init__(self, path: Path, fps: float, more: Sequence[str], output: Sequence[str]):
        """``more`` are further inputs, ``output`` the options of the file."""
        self._path, self._fps, self._more, self._output = path, fps, more, output
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed at the end)

    def _start(self, height: int, width: int) -> subprocess.Popen[bytes]:
        size = f"{width}x{height}"
        read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", f"{self._fps:g}"]
        command = [ffmpeg(), "-y", "-loglevel", "error", *read, "-i", "-", *self._more]
        command += [*self._output, "-fflags", "+bitexact", str(self._path)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said
        )

    def add(self, picture: np.ndarray) -> None:
        """Append a picture.

        Raises:
          OSError: if the file cannot be written.
        """
        if self._process is None:
            self._process = self._start(*picture.shape[:2])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(picture).data)
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        """Finish the file.

        Raises:
          OSError: if it cannot be written.
        """
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            process.communicate()
        if process.returncode:
            self._said.seek(0)
            why = self._said.read().decode(errors="replace").strip().splitlines()
            raise OSError(None, why[-1] if why else "ffmpeg stopped", str(self._path))

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._said.close()


def mp4(path: Path, fps: float) -> _Encoder:
    """An encoder of H.264 in yuv420p; odd sizes are made even by a black line."""
    form = ["-an", "-c:v", "libx264", "-preset", "medium", "-crf", str(QUALITY)]
    return _Encoder(
        path,
        fps,
        [],
        ["-vf", EVEN, *form, "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"],
    )


@contextlib.contextmanager
def gif(path: Path, fps: float, samples: Iterable[np.ndarray], hold: float) -> Iterator[_Encoder]:
    """An encoder of a moving picture that starts again at its end.

    Args:
      path: the file.
      fps: pictures a second.
      samples: some of the pictures ``[H, W, 3]``, from which its 256 colours are chosen.
      hold: seconds for which the last picture stays.
    """
    with tempfile.TemporaryDirectory() as folder:
        palette = Path(folder) / "palette.png"
        chosen = ["-vf", "palettegen=stats_mode=full", "-update", "1", "-frames:v", "1"]
        with _Encoder(palette, 1, [], chosen) as colours:
            for sample in samples:
                colours.add(sample)
        used = "[0][1]paletteuse=dither=none:diff_mode=rectangle"
        last = ["-loop", "0", "-final_delay", f"{100 * hold:.0f}", "-f", "gif"]
        with _Encoder(path, fps, ["-i", str(palette)], ["-lavfi", used, *last]) as found:
            yield found
