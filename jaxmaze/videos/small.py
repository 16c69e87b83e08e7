"""Videos as small GIFs in TensorBoard, whose page of images lets them move."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jaxmaze.runs import board, console
from jaxmaze.videos import files

MOST = 2_000_000
"""Bytes of a GIF, as a page of many loads them all."""
SIZES = ((640, 150), (480, 100), (320, 75), (240, 50), (160, 30))
"""Width in pixels and number of pictures, tried one after the other until a GIF is small enough."""
EPISODES = 8
"""Of a rollout, those that are shown."""


def show(folder: Path, tag: str, videos: Sequence[Path]) -> None:
    """Write videos to TensorBoard's files in a folder, in place of earlier ones of that tag.

    What cannot be written is a warning, as the videos themselves are there.

    Args:
      folder: of a run, or of the videos.
      tag: their name there is ``video/<tag>``; their steps are 0, 1, ...
      videos: MP4 files, or GIFs.
    """
    try:
        board.films(folder, f"{board.VIDEO}{tag}", [gif_of(path) for path in videos])
    except OSError as error:
        why = error.strerror or error
        console.say(f"warning: the videos in {folder} are not shown in TensorBoard: {why}")


def gif_of(video: Path) -> bytes:
    """A video as a GIF of at most ``MOST`` bytes, in its own time, with fewer or smaller pictures.

    Raises:
      OSError: if it cannot be converted.
    """
    if video.suffix == ".gif" and video.stat().st_size <= MOST:
        return video.read_bytes()
    import imageio_ffmpeg

    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(video))
    for width, pictures in SIZES:
        rate = min(count, pictures) / max(seconds, 1e-3)
        found = _converted(video, width, rate)
        if len(found) <= MOST:
            break
    return found


def _converted(video: Path, width: int, rate: float) -> bytes:
    """A GIF of so many pictures a second, at most so wide."""
    pictures = f"fps={rate:.4f},scale='min({width},iw)':-1:flags=area"
    colours = "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.gif"
        command = [files.ffmpeg(), "-y", "-loglevel", "error", "-i", str(video)]
        command += ["-vf", f"{pictures},{colours}", "-fflags", "+bitexact", str(path)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            why = done.stderr.strip().splitlines()
            raise OSError(None, why[-1] if why else "ffmpeg stopped", str(video))
        return path.read_bytes()
