# SPDX-License-Identifier: GPL-2.0
"""Runs prereg, and judges what it answers by the schemas of docs/json."""
import collections
import functools
import json
import os
import subprocess

import jsonschema

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
SCHEMAS = os.path.join(TOP, "docs", "json")

Answer = collections.namedtuple("Answer", "status out err")


@functools.lru_cache(maxsize=None)
def validator(name):
    """Of docs/json/NAME.schema.json."""
    with open(os.path.join(SCHEMAS, name + ".schema.json"), encoding="utf-8") as text:
        return jsonschema.Draft202012Validator(json.load(text))


def no_twins(pairs):
    """A JSON object that has no member twice."""
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), "a member is there twice: %s" % names
    return dict(pairs)


def parsed(name, text):
    """The JSON TEXT, which is as the schema NAME has it."""
    value = json.loads(text, object_pairs_hook=no_twins)
    wrong = ["%s: %s" % ("/".join(map(str, error.path)), error.message) for error in validator(name).iter_errors(value)]
    assert not wrong, "not as %s.schema.json has it: %s" % (name, "; ".join(wrong))
    return value


def parsed_lines(name, text):
    """JSON objects, one on each line."""
    assert text.endswith("\n"), "the last line is not whole"
    return [parsed(name, line) for line in text.splitlines()]


def has_all(name, member, value):
    """Without --output a table's objects have all members that its schema knows."""
    known = set(validator(name).schema["properties"][member]["items"]["properties"])
    for item in value[member]:
        assert set(item) == known, "members are missing: %s" % (known - set(item))


class Program:
    """prereg, on a made-up library."""

    def __init__(self, path):
        self.path = path

    def environment(self, fake):
        """Of a run; FAKE is what fake.c explains."""
        return dict(os.environ, FAKE_PREREG=fake, LC_ALL="C.UTF-8", TZ="UTC")

    def run(self, fake, *words, **more):
        """An Answer; outputs are texts."""
        done = subprocess.run([self.path, *words], env=self.environment(fake), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, check=False, **more)
        err = done.stderr.decode("utf-8", "strict")
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return Answer(done.returncode, done.stdout.decode("utf-8", "strict"), err)

    def good(self, fake, *words, **more):
        """What a run that must succeed writes."""
        answer = self.run(fake, *words, **more)
        assert answer.status == 0, "prereg %s exited with %d: %s" % (" ".join(words), answer.status, answer.err)
        return answer.out
