"""A session of a person playing: the window, the keys, and which episodes are kept."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from jaxmaze.core.types import PyTree
from jaxmaze.envs import environment
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.teachers.person import keys

MODE = "rgb_array"
SMALLEST = 400
"""Smallest length in pixels of the window's shorter side; smaller images are enlarged."""
UNSEEN = ("offscreen", "dummy")
"""Video drivers without a visible window, used where there is no screen."""
FPS = 30
"""Steps per second if the environment names none."""
GOES_ON = ("space", "return", "button0")


class Verdict(enum.Enum):
    """The person's decision on an episode."""

    KEEP = "keep"
    REDO = "redo"
    THROW_AWAY = "throw away"
    STOP = "stop"
    KEEP_AND_STOP = "keep and stop"


BY_KEY = {"r": Verdict.REDO, "x": Verdict.THROW_AWAY, "escape": Verdict.STOP}


class Clock(Protocol):
    """Pygame's."""

    def tick(self, framerate: float) -> int: ...


class Inputs:
    """Keyboard and gamepads, as keys by name with how far each is pressed.

    Attributes:
      pressed: in the order of pressing, from 0 to 1.
    """

    def __init__(self) -> None:
        self.pressed: dict[str, float] = {}
        self._pads: list[object] = []

    def read(self) -> list[str]:
        """Process pygame's events; returns the keys that were newly pressed."""
        import pygame

        down: list[str] = []
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                down.append("escape")
            elif event.type == pygame.KEYDOWN:
                name = pygame.key.name(event.key)
                # A window that lost the focus may have missed a key's release.
                self.pressed.pop(name, None)
                self._set(name, 1.0, down)
            elif event.type == pygame.KEYUP:
                self._set(pygame.key.name(event.key), 0.0, down)
            elif event.type == pygame.JOYBUTTONDOWN:
                self._set(f"button{event.button}", 1.0, down)
            elif event.type == pygame.JOYBUTTONUP:
                self._set(f"button{event.button}", 0.0, down)
            elif event.type == pygame.JOYAXISMOTION and event.axis in (0, 1):
                self._stick(event.axis, event.value, down)
            elif event.type == pygame.JOYHATMOTION:
                self._stick(0, event.value[0], down)
                self._stick(1, -event.value[1], down)
            elif event.type == pygame.JOYDEVICEADDED:
                # A pad without a reference to it sends no events.
                self._pads.append(pygame.joystick.Joystick(event.device_index))
        return down

    def _stick(self, axis: int, value: float, down: list[str]) -> None:
        """Treat a stick as the arrow keys; small deflections are ignored."""
        back, on = (("left", "right"), ("up", "down"))[axis]
        amount = value if abs(value) > 0.2 else 0.0
        self._set(back, max(-amount, 0.0), down)
        self._set(on, max(amount, 0.0), down)

    def _set(self, name: str, amount: float, down: list[str]) -> None:
        before = self.pressed.get(name, 0.0)
        if amount <= 0:
            self.pressed.pop(name, None)
            return
        self.pressed[name] = amount
        if before <= keys.HELD < amount:
            down.append(name)


class Person:
    """Plays episodes with a person at the keys, in this process."""

    def __init__(self, info: EnvInfo, given: Mapping[str, object]):
        """Check that the environment can be rendered and its keys are known.

        Args:
          info: the environment.
          given: ``rollout.keyboard``.

        Raises:
          UserError: if it cannot be rendered here, or its keys are not known.
        """
        self._info = info
        self._env = environment.make(info.config, MODE)
        try:
            self._check(given)
        except BaseException:
            self._env.close()
            raise
        self._fps = float(self._env.metadata.get("render_fps") or FPS)
        self._inputs, self._clock = Inputs(), _clock()
        self._scale = 0

    def _check(self, given: Mapping[str, object]) -> None:
        if MODE not in self._env.metadata.get("render_modes", []):
            raise UserError(
                f"policy human: {self._info.config.id} gives no pictures (render_mode='{MODE}'), "
                "so nobody can see it"
            )
        _open_window()
        own = getattr(self._env.unwrapped, "get_keys_to_action", None)
        self._keys = keys.find(self._info, given, None if own is None or given else own())

    def episodes(
        self, seeds: Sequence[int] | np.ndarray, on_episode: Callable[[Episode], None]
    ) -> Iterator[Episode]:
        """Play; yields the episodes that are kept, numbered in order.

        Args:
          seeds: one per episode.
          on_episode: called with each episode that is kept.

        Raises:
          UserError: if none was kept.
        """
        waiting, kept = [int(s) for s in seeds], 0
        count, verdict = len(waiting), Verdict.KEEP
        try:
            while waiting and verdict not in (Verdict.STOP, Verdict.KEEP_AND_STOP):
                title = f"episode {count - len(waiting) + 1} of {count}"
                episode, verdict = self._episode(kept, waiting[0], title)
                if verdict is not Verdict.REDO:
                    del waiting[0]
                if episode is not None and verdict in (Verdict.KEEP, Verdict.KEEP_AND_STOP):
                    on_episode(episode)
                    kept += 1
                    yield episode
        finally:
            self._env.close()
            _close_window()
        if not kept:
            raise UserError("no episode was kept, so nothing was recorded")

    def _episode(self, index: int, seed: int, title: str) -> tuple[Episode | None, Verdict]:
        """One episode, from the key that starts it to the decision on it."""
        spaces = self._info.spaces
        room = spaces.obs.zeros(1)
        spaces.obs.put(room, 0, self._env.reset(seed=seed)[0])
        observations, actions, rewards = [spaces.obs.take(room, 0)], [], []
        self._keys.reset()
        begun = self._wait(
            f"{title}: press a key to begin (r again, x throw away, Esc stop)",
            {*GOES_ON, *keys.CONTROLS, *self._keys.names},
        )
        if begun in BY_KEY:
            return None, BY_KEY[begun]
        over = terminated = False
        while not over:
            for key in self._inputs.read():
                if key in BY_KEY:
                    return None, BY_KEY[key]
            action = np.asarray(self._keys.action(self._inputs.pressed), self._dtype())
            (given,) = spaces.action.each(action[None])
            obs, reward, terminated, truncated, _ = self._env.step(given)
            spaces.obs.put(room, 0, obs)
            observations.append(spaces.obs.take(room, 0))
            actions.append(action)
            rewards.append(float(reward))
            over = bool(terminated or truncated)
            self._show(f"{title}: return {sum(rewards):.1f}")
        episode = Episode(
            index=index,
            seed=seed,
            observations=spaces.obs.stack(observations),
            actions=np.array(actions, self._dtype()),
            rewards=np.array(rewards, np.float64),
            terminated=bool(terminated),
        )
        key = self._wait(
            f"{title}: return {sum(rewards):.1f}: space keeps it, r plays it again, x throws it "
            "away, Esc keeps it and stops",
            {*GOES_ON, *keys.CONTROLS},
        )
        if key == "escape":
            return episode, Verdict.KEEP_AND_STOP
        return episode, BY_KEY.get(key, Verdict.KEEP)

    def _dtype(self) -> PyTree:
        return self._info.action_space.dtype

    def _wait(self, title: str, wanted: set[str]) -> str:
        """Show the image until one of the wanted keys is pressed; returns that key."""
        while True:
            for key in self._inputs.read():
                if key in wanted:
                    return key
            self._show(title)

    def _show(self, title: str) -> None:
        """Render the environment, and wait until the next step is due."""
        import pygame

        picture = np.asarray(self._env.render())
        height, width = picture.shape[:2]
        if not self._scale:
            self._scale = max(1, -(-SMALLEST // min(height, width)))
        size = (width * self._scale, height * self._scale)
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            screen = pygame.display.set_mode(size)
        surface = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        screen.blit(pygame.transform.scale(surface, size), (0, 0))
        pygame.display.set_caption(title)
        pygame.display.flip()
        tick(self._clock, self._fps)


def _open_window() -> None:
    try:
        import pygame
    except ImportError as error:
        raise UserError("policy human needs pygame: pip install pygame-ce") from error
    environment.look_for_screen()  # pictures alone, which the environment draws, need none
    try:
        pygame.display.init()
        pygame.joystick.init()
        shown = pygame.display.get_driver() not in UNSEEN or "SDL_VIDEODRIVER" in os.environ
    except pygame.error as error:
        raise UserError(f"policy human needs a screen, which is missing here: {error}") from error
    if not shown:
        pygame.quit()
        raise UserError("policy human needs a screen, which is missing here: is DISPLAY set?")


def _clock() -> Clock:
    import pygame

    return pygame.time.Clock()  # type: ignore[no-any-return]


def _close_window() -> None:
    import pygame

    pygame.quit()


def tick(clock: Clock, fps: float) -> None:
    """Wait until one frame's duration has passed since the last call."""
    clock.tick(fps)
