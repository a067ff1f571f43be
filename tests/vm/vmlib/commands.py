# SPDX-License-Identifier: GPL-2.0
"""Lists of commands for the guest.

A line is   NAME [SECONDS] [OPTION…] COMMAND…   and "#" starts a comment line. Options:
  setup            prepares the guest for the commands after it: no TAP, exit status 0 expected, repeated
                   in a new machine after one died, counted only when it fails
  plain            no TAP: one test, which passes when the exit status is 0
  must-fail=REGEX  one test, which passes when the program ran to its end and exactly tests that
                   match REGEX failed, at least one of them
  may-crash        what it breaks may be the kernel's: with must-fail, a guest that dies with a complaint is as good as the failure, after
                   which the command and the guest may end as they will; no complaint of the kernel's counts
  allow=REGEX      lines of the kernel log that are no splat for this command
"""
import re

from .target import Problem

SECONDS = 120


class Command:
    """One line of a list."""

    def __init__(self, name, seconds, options, command):
        self.name = name
        self.seconds = seconds
        self.kind = next((o for o in ("setup", "plain") if o in options), "tap")
        self.must_fail = options.get("must-fail")
        self.may_crash = "may-crash" in options
        self.allow = options.get("allow")
        self.command = command


def parse_line(line):
    """A Command from a line of a list."""
    words = line.split(None, 1)
    name, rest = words[0], words[1] if len(words) > 1 else ""
    seconds, options = SECONDS, {}
    while rest:
        word, *after = rest.split(None, 1)
        key, _, value = word.partition("=")
        if word.isdigit() and not options:
            seconds = int(word)
        elif word in ("setup", "plain", "may-crash"):
            options[word] = True
        elif key in ("must-fail", "allow") and value:
            # A blank in a regular expression is written \s here.
            try:
                options[key] = re.compile(value)
            except re.error as error:
                raise Problem("\"%s\" in the list line \"%s\" is no regular expression: %s."
                              % (value, line, error)) from None
        else:
            break
        rest = after[0] if after else ""
    if not rest:
        raise Problem("the list line \"%s\" has no command." % line)
    return Command(name, seconds, options, rest)


def parse(text):
    """All Commands of a list's text."""
    commands = [parse_line(line) for line in map(str.strip, text.splitlines())
                if line and not line.startswith("#")]
    names = [command.name for command in commands]
    for name in names:
        if names.count(name) > 1 or "/" in name:
            raise Problem("the name \"%s\" stands twice in the list or has a slash in it." % name)
    return commands
