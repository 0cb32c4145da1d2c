"""Autobahn's cases under Python 3. They were written for Python 2, where text and octets are one type: their source is read and changed as it is
imported (nothing of it is kept here), and its strings stand for octets, one character each. fuzz.py translates where they meet a protocol."""

import importlib.abc
import importlib.machinery
import os
import re
import sys
import types

from autobahn.websocket.utf8validator import Utf8Validator

# What Python 3 says otherwise: print, names of built-in functions, the order of base classes, division of whole numbers.
CHANGES = [
    (re.compile(r"^([ \t]*)print\b(?![ \t]*\()[ \t]*(.*)$", re.M), r"\1print(\2)"),
    (re.compile(r"\bxrange\("), "range("),
    (re.compile(r"\bunichr\("), "chr("),
    (re.compile(r"\(object, Case, ?\)"), "(Case,)"),
    (re.compile(r"binascii\.b2a_hex\("), "hex_of("),
    (re.compile(r"len\(self\.payload\) / "), "len(self.payload) // "),
    (re.compile(r"from autobahn\.websocket\.utf8validator import Utf8Validator"), ""),
    (re.compile(r"from zope\.interface import implements"), "implements = lambda *_: None"),
    # What later versions of autobahn, those for Python 3, call by other names.
    (re.compile(r"\b(request|accept)NoContextTakeover\b"), r"\1_no_context_takeover"),
    (re.compile(r"\b(request|accept)MaxWindowBits\b"), r"\1_max_window_bits"),
]


def octets(text):
    """Octets of a string of theirs; octets stay what they are."""
    return text if isinstance(text, (bytes, type(None))) else text.encode("latin-1")


def text(data):
    """A string of theirs."""
    return data.decode("latin-1")


class StringValidator(Utf8Validator):
    """Takes their strings."""

    def validate(self, data):
        return super().validate(octets(data))


class Cases(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules from a folder, changed."""

    def __init__(self, folder):
        self.folder = folder

    def find_spec(self, name, path=None, target=None):
        file = os.path.join(self.folder, name + ".py")
        return importlib.machinery.ModuleSpec(name, self, origin=file) if os.path.exists(file) else None

    def exec_module(self, module):
        with open(module.__spec__.origin, "rb") as file:
            source = file.read().decode("latin-1")
        for pattern, instead in CHANGES:
            source = pattern.sub(instead, source)
        module.hex_of = lambda data: octets(data).hex()
        module.Utf8Validator = StringValidator
        exec(compile(source, module.__spec__.origin, "exec"), module.__dict__)


def load(package):
    """All of the cases in a folder with the sources of the package autobahntestsuite: class by its number, such as 1.1.1."""
    resources = types.ModuleType("pkg_resources")
    resources.resource_filename = lambda _, name: os.path.join(package, name)
    sys.modules["pkg_resources"] = resources
    sys.meta_path.insert(0, Cases(os.path.join(package, "case")))
    case = __import__("case").Case
    # Theirs compares what pickle makes of both, in which it shows whether two equal strings are one object.
    case.compare = lambda self, one, other: one == other
    return {each.__name__[4:].replace("_", "."): each for each in __import__("__init__").Cases}
