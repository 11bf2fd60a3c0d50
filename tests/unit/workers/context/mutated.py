"""HL7 messages and FHIR Bundles, generated and then broken in many ways, from a seed."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.unit.workers.context.fhir_server import bundle, observation, others_of, patient
from tests.unit.workers.context.messages import laboratory, message

KINDS = ("ORU^R01", "ADT^A01", "ADT^A08", "ADT^A40", "ORM^O01", "OMI^O23", "SIU^S12")
CHARSETS = {"": "utf-8", "UNICODE UTF-8": "utf-8", "8859/1": "latin-1", "GB18030": "gb18030"}
PIECES = ("|", "^", "~", "\\", "&", "\r", "\n", "\x00", "\x0b", '""', "MSH|", "PID|", "\\X4\\",
          "9" * 300, "é", "王", "\ud7ff", "-1", "1e400", "20269999", " ")  # fmt: skip


def hl7_message(chance: random.Random) -> bytes:
    """A message, mostly sound, often broken."""
    charset = chance.choice(list(CHARSETS))
    control = f"C{chance.randrange(10**9)}"
    if chance.random() < 0.5:
        text = laboratory(
            chance.choice(["7.5", "<2", "", "abc", "1,5"]),
            code=chance.choice(
                ["2039-6^CEA^LN", "EMPH^^L", "72166-2^^LN", "^^", "x^y^z^2039-6^^LN"]
            ),
            unit=chance.choice(["ng/mL", "ug/L", "", "parsec"]),
            status=chance.choice(["F", "C", "D", "W", "P", ""]),
            control=control,
            charset=charset,
        )
    else:
        segments = chance.sample(
            ["EVN||20260301", "MRG|OLD^^^HOSP^MR", "DG1|1||C34.1^^I10||2019|F", "PRB|AD|1|J43^^I10",
             "ORC|NW|P1", "OBR|1|P1|F1|71271^^C4", "OBX|1|TX|R^^L||te\\.br\\xt||||||F", "NTE|1||x",
             "OBX|2|SN|1988-5^^LN||<^5|mg/L|||||F", "ZZZ|1"],
            k=chance.randrange(8),
        )  # fmt: skip
        text = message(chance.choice(KINDS), *segments, control=control, charset=charset)
    for _ in range(chance.choice([0, 0, 1, 1, 2, 8])):
        text = _broken(text, chance)
    data = text.encode(CHARSETS[charset], errors="replace")
    if chance.random() < 0.1:
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.randbytes(chance.randrange(1, 5)) + data[at:]
    if chance.random() < 0.05:
        data = b"BHS|^~\\&|\r" + data + data.replace(b"|C", b"|B") + b"BTS|2\r"
    return data.replace(b"\x1c\r", b"")


def _broken(text: str, chance: random.Random) -> str:
    at, to = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    way = chance.randrange(4)
    if way == 0:
        return text[:at] + chance.choice(PIECES) + text[at:]
    if way == 1:
        return text[:at] + text[min(to, at + 30) :]
    if way == 2:
        return text[:at]
    lines = text.split("\r")
    chance.shuffle(lines)
    return "\r".join(lines)


def fhir_bundle(chance: random.Random) -> bytes:
    """A Bundle, mostly sound, often broken."""
    value: Any = json.loads(bundle(patient(), observation(f"o{chance.random()}"), *others_of()))
    for _ in range(chance.choice([0, 1, 1, 3, 10])):
        _break_json(value, chance)
    data = json.dumps(value).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(data))
        data = data[:at] + chance.randbytes(2) + data[at:]
    return data


def _break_json(value: Any, chance: random.Random) -> None:
    place = value
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = chance.choice(keys)
        if not isinstance(place[key], dict | list) or chance.random() < 0.2:
            wrong = [
                None,
                [],
                {},
                "",
                "x\x00",
                -1,
                1e300,
                True,
                [[{}]],
                {"reference": 5},
                "2026-13-45",
            ]
            place[key] = chance.choice(wrong)
            return
        place = place[key]
