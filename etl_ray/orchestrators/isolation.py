"""Units that bring their process down: they are met again in a process of their own, and given up if that dies too.

Before a unit is normalized a mark is made that it was begun. A mark that is there already tells that a process has died
over the unit, or that the unit was unlucky when the whole run was killed: a process of its own shows which.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys

from etl_ray import storage
from etl_ray.config import failpoint
from etl_ray.errors import EtlRayError
from etl_ray.orchestrators.failures_as_data import describe_error, restore_error
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.normalize import NormalizeOptions, Normalizer
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.readers.segments import Unit
from etl_ray.storage import failpoints

logger = logging.getLogger(__name__)

BEGUN = "begun"
"""Below the staging directory: an empty file for each unit that was begun."""
_START = "import sys; sys.path[:] = sys.argv[1:]; from etl_ray.orchestrators.isolation import main; main()"
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?=:|$)")
_FRAME = re.compile(r'^  File "(?:[^"\n]*/)?([^"/\n]+)", line (\d+)', re.MULTILINE)
_SIGNAL_BASE = 128  # shells and sandboxes tell signals as 128 + number


def mark_url(staging: str, unit: str) -> str:
    """Return where it is marked that a unit was begun."""
    return storage.join(staging, BEGUN, f"{unit}.mark")


def normalized(unit: Unit, options: NormalizeOptions, normalizer: Normalizer) -> Receipt:
    """Normalize a unit, in this process unless one has died over it before; return its receipt."""
    mark = mark_url(options.staging, unit.name)
    if not storage.create_new(mark, b"", durable=False):
        return _isolated(unit, options, normalizer)
    try:
        return normalizer.run(unit)
    except EtlRayError:
        storage.delete(mark)  # the storage is to blame, not the unit
        raise


def _isolated(unit: Unit, options: NormalizeOptions, normalizer: Normalizer) -> Receipt:
    """Normalize a unit in a process of its own."""
    question = json.dumps([to_json(options).decode(), to_json(unit).decode()]).encode()
    done = subprocess.run(  # noqa: S603 - this interpreter, and code of our own
        [sys.executable, "-c", _START, *sys.path], input=question, capture_output=True, check=False
    )
    if done.returncode == 0:
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise restore_error(answer["error"])
        return from_json(Receipt, answer["receipt"].encode())
    reason = _reason(done.returncode, done.stderr)
    logger.warning("%s is left out: %s", storage.redact(unit.segment.url), reason)
    return normalizer.left_out(unit, reason)


def _reason(code: int, stderr: bytes) -> str:
    """Say how a process ended."""
    number = -code if code < 0 else code - _SIGNAL_BASE
    if number in {item.value for item in signal.Signals}:
        return f"the process that read it was ended by {signal.Signals(number).name}, twice; nothing of it is used"
    # Of an exception only its type and place: its message may quote what is private.
    text = stderr.decode(errors="replace").strip()
    kind, places = _EXCEPTION.match(text.rpartition("\n")[2]), _FRAME.findall(text)
    said = ": {} in {}, line {}".format(kind[0], *places[-1]) if kind and places else ""
    return f"the process that read it ended with code {code}, twice{said}; nothing of it is used"


def main() -> None:
    """Normalize the unit that standard input tells of; answer on standard output."""
    if setting := failpoint():
        failpoints.arm(setting)
    options_text, unit_text = json.loads(sys.stdin.buffer.read())
    options = from_json(NormalizeOptions, options_text.encode())
    try:
        receipt = Normalizer(options).run(from_json(Unit, unit_text.encode()))
    except EtlRayError as failure:
        answer: dict[str, object] = {"error": describe_error(failure)}
    else:
        answer = {"receipt": to_json(receipt).decode()}
    sys.stdout.write(json.dumps(answer))
