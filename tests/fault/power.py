# SPDX-License-Identifier: Apache-2.0
"""
What a power loss can leave of a directory, told from the log that recorder.c wrote.

    log = Log(path)                         # every change, in order
    for state in crash_states(log, [(position, policy, seed), ...]):
        state.write(directory)              # one legal outcome of losing power at that position

    power.py LOG POSITION POLICY SEED DIRECTORY     the same for one state, by hand

A position is a length of the log: a client that notes the log's length when an answer comes has a
name for that moment. What the model of a disk promises is less than any file system in use does:

- The bytes and the size of a file are on disk once the file was synced. Of later writes each sector
  of 512 bytes holds what it held after any one of them, whatever its neighbours hold; the size is
  that after any one of them, too. Bytes that a size covers and no write reached are zeros, or
  garbage.
- A name (made, moved, removed) is on disk once a directory that it concerns was synced. Syncing
  the file does not do (ext4 and xfs would), nor syncing a directory below or above. Of later
  changes any may have happened, also when earlier ones have not; but one name goes through its
  states in order, and a rename is one act.
- After a sync of the whole file system all that was done before it is on disk.
- A sync that has not returned has promised nothing.
- What is mapped into memory (SQLite's -shm) is lost.
"""
import bisect
import copy
import mmap
import os
import random
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
# the same as in recorder.c
ROOT, CREATE, MKDIR, WRITE, RESIZE, LINK, UNLINK, RENAME, SYNC, SYNC_ALL = range(1, 11)
RECORD = struct.Struct("<4I4Q")
ALL = "*"       # the path of what a sync of the whole file system is asked for


@dataclass
class Record:
    op: int
    file: int
    dir: int
    other_dir: int
    at: int
    name: str
    other_name: str
    data: memoryview
    end: int            # the position after it


class Log:
    """The records of a log; a last one that is not whole does not count."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self.records = list(self._read())
        self.ends = [record.end for record in self.records]

    def _read(self):
        at = 0
        while at + RECORD.size <= len(self.bytes):
            op, n_name, n_other, n_data, *numbers = RECORD.unpack_from(self.bytes, at)
            name = at + RECORD.size
            other, data = name + n_name, name + n_name + n_other
            at = data + n_data
            if at > len(self.bytes):
                return
            yield Record(op, *numbers, str(self.bytes[name:other], "utf-8"),
                         str(self.bytes[other:data], "utf-8"), self.bytes[data:at], at)

    def after(self, position):
        """How many records are before a position."""
        return bisect.bisect_right(self.ends, position)

    def namings(self):
        """The positions just after a name was made, moved or removed."""
        return [record.end for record in self.records if record.name]

    def syncs(self):
        """The positions just before and just after each sync."""
        return [end for before, record in zip(self.records, self.records[1:])
                if record.op in (SYNC, SYNC_ALL) for end in (before.end, record.end)]


# ---- the disk ----

@dataclass
class Change:
    """A write or a new size, not synced."""
    number: int         # of its record
    at: int             # offset, or new size
    data: memoryview | None


@dataclass(eq=False)
class File:
    data: bytearray = field(default_factory=bytearray)  # as last synced; shorter than the size when
    size: int = 0                                       # nothing but zeros follows
    pending: list = field(default_factory=list)

    def sizes(self):
        """The size as last synced, and after each change since."""
        sizes = [self.size]
        for change in self.pending:
            sizes.append(change.at if change.data is None else
                         max(sizes[-1], change.at + len(change.data)))
        return sizes

    def touched(self, limit):
        """(sector, the changes that write to it), numbered from 1, of those below a limit."""
        touched = {}
        for i, change in enumerate(self.pending[:limit - 1], 1):
            if change.data is not None:
                last = (change.at + len(change.data) - 1) // SECTOR
                for sector in range(change.at // SECTOR, last + 1):
                    touched.setdefault(sector, []).append(i)
        return sorted(touched.items())

    def sync(self):
        for change in self.pending:
            if change.data is None:
                self.size = change.at
                del self.data[self.size:]
                continue
            end = change.at + len(change.data)
            self.data.extend(bytes(max(0, end - len(self.data))))
            self.data[change.at:end] = change.data
            self.size = max(self.size, end)
        self.pending = []


@dataclass
class Naming:
    """What one call does to names; not synced."""
    number: int
    parts: list         # (directory, name, file or None)


@dataclass(eq=False)
class Directory:
    names: dict = field(default_factory=dict)       # name -> (number, file or None): as last synced
    pending: list = field(default_factory=list)

    def sync(self):
        for naming in list(self.pending):
            for directory, name, file in naming.parts:
                known = directory.names.get(name, (-1, None))[0]
                if known < naming.number:
                    directory.names[name] = (naming.number, file)
                directory.pending = [n for n in directory.pending if n is not naming]


class Disk:
    """The state of the root directory after the records so far."""

    def __init__(self):
        self.root = Directory()
        self.files = {}             # inode number -> the newest file or directory that has it
        self.newest = {}            # (directory's inode number, name) -> file: what a process sees
        self.unsynced = set()       # files and directories
        self.number = 0

    @classmethod
    def of_directory(cls, path):
        """With all that stands in a directory, on disk already."""
        disk = cls()
        disk._adopt(Path(path), disk.root)
        return disk

    def _adopt(self, path, directory):
        inode = path.stat().st_ino
        self.files[inode] = directory
        for entry in path.iterdir():
            if entry.is_dir():
                file = Directory()
                self._adopt(entry, file)
            else:
                file = File(bytearray(entry.read_bytes()), entry.stat().st_size)
                self.files[entry.stat().st_ino] = file
            directory.names[entry.name] = (0, file)
            self.newest[inode, entry.name] = file

    def take(self, record):
        self.number += 1
        ACTS[record.op](self, record)

    def _name(self, *parts):
        naming = Naming(self.number, [(self.files[d], name, file) for d, name, file in parts])
        for inode, name, file in parts:
            self.newest[inode, name] = file
        for directory in {id(part[0]): part[0] for part in naming.parts}.values():
            directory.pending.append(naming)
            self.unsynced.add(directory)

    def _root(self, record):
        self.files.setdefault(record.file, self.root)

    def _create(self, record):
        self.files[record.file] = File()
        if record.dir:
            self._name((record.dir, record.name, self.files[record.file]))

    def _mkdir(self, record):
        self.files[record.file] = Directory()
        self._name((record.dir, record.name, self.files[record.file]))

    def _change(self, record):
        file = self.files[record.file]
        file.pending.append(Change(self.number, record.at,
                                   record.data if record.op == WRITE else None))
        self.unsynced.add(file)

    def _link(self, record):
        self._name((record.dir, record.name, self.files[record.file]))

    def _unlink(self, record):
        self._name((record.dir, record.name, None))

    def _rename(self, record):
        file = self.newest[record.dir, record.name]
        self._name((record.dir, record.name, None), (record.other_dir, record.other_name, file))

    def _sync(self, record):
        self.files[record.file].sync()
        self.unsynced.discard(self.files[record.file])

    def _sync_all(self, _record):
        self.sync_all(lambda path: False)

    def sync_all(self, deaf):
        inodes = {id(file): inode for inode, file in self.files.items()}
        for file in list(self.unsynced):
            inode = inodes.get(id(file))    # none: another file has its number by now
            if not deaf(self.path(inode) if inode else ""):
                file.sync()
                self.unsynced.discard(file)

    def path(self, inode):
        """Where a process sees a file; "" when it has no name."""
        file, names = self.files[inode], []
        while file is not self.root:
            found = next(((d, name) for (d, name), f in self.newest.items() if f is file), None)
            if found is None:
                return ""
            names.insert(0, found[1])
            file = self.files[found[0]]
        return "/" + "/".join(names)

    def pending(self):
        """The numbers of what is not synced: changes of bytes and of names."""
        changes, namings = set(), set()
        for file in self.unsynced:
            (changes if isinstance(file, File) else namings).update(p.number for p in file.pending)
        return sorted(changes), sorted(namings)


ACTS = {ROOT: Disk._root, CREATE: Disk._create, MKDIR: Disk._mkdir, WRITE: Disk._change,
        RESIZE: Disk._change, LINK: Disk._link, UNLINK: Disk._unlink, RENAME: Disk._rename,
        SYNC: Disk._sync, SYNC_ALL: Disk._sync_all}


# ---- what happens to be on it ----

@dataclass
class Outcome:
    """Which of the changes that were not synced have reached the disk, by their numbers."""
    bytes: set = field(default_factory=set)
    sizes: set = field(default_factory=set)
    names: set = field(default_factory=set)
    torn: set = field(default_factory=set)      # changes of which only some sectors have
    scattered: bool = False                     # each sector for itself
    garbage: bool = False                       # instead of zeros where no write has reached


def drop(_rng, _changes, _namings):
    return Outcome()


def keep(_rng, changes, namings):
    return Outcome(set(changes), set(changes), set(namings))


def some(rng, changes, namings):
    """Any of them; each kind with a likelihood of its own."""
    def subset(numbers):
        likely = rng.choice((0.1, 0.5, 0.9))
        return {number for number in numbers if rng.random() < likely}

    return Outcome(subset(changes), subset(changes), subset(namings), garbage=rng.random() < 0.5)


def tear(_rng, changes, namings):
    """All of them, but only some sectors of the last write."""
    return Outcome(set(changes), set(changes), set(namings), torn=set(changes[-1:]))


def late(_rng, changes, namings):
    """The later half overtakes the earlier."""
    def half(numbers):
        return set(numbers[len(numbers) // 2:])

    return Outcome(half(changes), half(changes), half(namings))


def metadata(rng, changes, namings):
    """Names and sizes, no bytes."""
    return Outcome(set(), set(changes), set(namings), garbage=rng.random() < 0.5)


def data(_rng, changes, _namings):
    """Bytes and sizes, no names."""
    return Outcome(set(changes), set(changes), set())


def jumble(rng, changes, namings):
    """All bytes and sizes, any of the names."""
    return Outcome(set(changes), set(changes), {n for n in namings if rng.random() < 0.5})


def early(rng, changes, namings):
    """All up to some moment, as with a journal of everything."""
    until = rng.choice((changes + namings) or [0])
    return Outcome(*({number for number in numbers if number <= until}
                     for numbers in (changes, changes, namings)))


def scatter(rng, changes, namings):
    """Sectors of all writes, each for itself."""
    outcome = some(rng, changes, namings)
    outcome.scattered = True
    return outcome


POLICIES = (drop, keep, some, tear, late, metadata, data, jumble, early, scatter)


class State:
    """One outcome at one position."""

    def __init__(self, disk, position, policy, seed):
        self.position = position
        self.name = f"{position} {policy.__name__} {seed}"
        self.rng = random.Random(seed)
        self.root = disk.root
        self.outcome = policy(self.rng, *disk.pending())

    def write(self, directory):
        """Makes the directory, which must be new."""
        self._write_directory(self.root, Path(directory))

    def _write_directory(self, directory, path):
        path.mkdir(mode=0o700)
        for name, file in self._entries(directory).items():
            if isinstance(file, Directory):
                self._write_directory(file, path / name)
            elif not name.endswith("-shm"):
                content, size = self.content(file)
                with open(path / name, "wb", opener=private) as out:
                    out.write(content)
                    out.truncate(size)

    def _entries(self, directory):
        names = dict(directory.names)
        for naming in directory.pending:
            if naming.number not in self.outcome.names:
                continue
            for where, name, file in naming.parts:
                if where is directory and names.get(name, (-1,))[0] < naming.number:
                    names[name] = (naming.number, file)
        return {name: file for name, (_, file) in names.items() if file is not None}

    def content(self, file):
        """The bytes, and the size, of which zeros make up the rest."""
        if not file.pending:
            return file.data, file.size
        sizes = file.sizes()
        shrinks = [i for i in range(1, len(sizes)) if sizes[i] < sizes[i - 1]]
        count = max((i for i, change in enumerate(file.pending, 1)
                     if change.number in self.outcome.sizes), default=0)
        # shrinking gives blocks away: what was written after it has no place before it happened
        limit = min((i for i in shrinks if i > count), default=len(sizes))
        shrinks = [i for i in shrinks if i < limit]
        known = min([file.size, *(sizes[i] for i in shrinks)])
        content = file.data[:known]
        for sector, touching in file.touched(limit):
            content.extend(bytes(max(0, (sector + 1) * SECTOR - len(content))))
            self._fill(content, file, sector, (touching, shrinks, known))
        del content[sizes[count]:]
        return content, sizes[count]

    def _fill(self, content, file, sector, what):
        """Puts into one sector what it holds: all changes up to one of those that touch it."""
        touching, shrinks, known = what
        begin, end = sector * SECTOR, (sector + 1) * SECTOR
        if self.outcome.scattered:
            last = self.rng.choice([0, *touching])
        else:
            last = max(filter(lambda i: self._reached(file.pending[i - 1]), touching), default=0)
        if last == 0:
            if self.outcome.garbage and begin >= known:
                content[begin:end] = self.rng.randbytes(SECTOR)
            return
        content[begin:end] = file.data[begin:end].ljust(SECTOR, b"\0")
        for i in sorted(touching + shrinks):
            change = file.pending[i - 1]
            first = max(begin, change.at)
            if change.data is None:
                content[first:end] = bytes(max(0, end - first))
            elif i <= last:
                until = min(end, change.at + len(change.data))
                content[first:until] = change.data[first - change.at:until - change.at]

    def _reached(self, change):
        if change.number not in self.outcome.bytes:
            return False
        return change.number not in self.outcome.torn or self.rng.random() < 0.5


def private(path, flags):
    return os.open(path, flags, 0o600)


def take_deaf(disk, record, deaf):
    """Only what the disk listens to."""
    if record.op == SYNC_ALL:
        if not deaf(ALL):
            disk.sync_all(deaf)
    elif record.op != SYNC or not deaf(disk.path(record.file)):
        disk.take(record)


def crash_states(log, plan, deaf=None, before=None):
    """The states of a plan, [(position, policy, seed)], in order of their positions. Each is to be
    written before the next is asked for. `deaf(path)` true: this disk does not keep what it
    promised when the file or directory of that path, or ALL, was synced. `before`: the Disk at
    first, which is left as it is."""
    disk = copy.deepcopy(before) if before else Disk()
    done = 0
    for position, policy, seed in sorted(plan, key=lambda part: part[0]):
        until = log.after(position)
        for record in log.records[done:until]:
            if deaf:
                take_deaf(disk, record, deaf)
            else:
                disk.take(record)
        done = until
        yield State(disk, position, policy, seed)


if __name__ == "__main__":
    log_path, where, how, seed_text, target = sys.argv[1:]
    for one in crash_states(Log(log_path), [(int(where), globals()[how], int(seed_text))]):
        one.write(target)
