"""The scripts of the queue in a Redis, and its keys.

==========================  ==========================================================
``PREFIX:names``            every object's name, in a sorted set: all scores are 0, so it
                            is in the order of names
``PREFIX:object:NAME``      a hash: content, generation, updated, of a heartbeat metadata
``PREFIX:pending``          the channel on which each arrival in the queue is published
``PREFIX:pruned``           when what was too old was last removed
==========================  ==========================================================

Each operation of the bucket protocol, and each joined one, is one script, and Redis runs one script
at a time. A script reads all that it depends on before its first write, tries what its user may do,
and changes nothing unless every precondition holds. A write brings its own new generation along, a
random number: whether an object has it answers whether this very call was already made, and no
number comes twice, even after a Redis has lost its last second. Times are the server's, in
microseconds since 1970.

Source: https://redis.io/docs/latest/develop/programmability/eval-intro/
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

OK, NOT_FOUND, EXISTS, OTHER_GENERATION = b"ok", b"not-found", b"exists", b"other-generation"
"""The first item of an answer."""


@dataclass(frozen=True)
class Script:
    """A program that Redis runs whole or not at all."""

    body: str
    sha: str = field(init=False, compare=False)
    """What Redis remembers it by."""

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)

    @property
    def text(self) -> str:
        """The body with the functions that all scripts share before it."""
        return _SHARED + self.body


@dataclass(frozen=True)
class Keys:
    """The names of the queue's keys."""

    prefix: str

    @property
    def names(self) -> str:
        """The key of the sorted set that holds every name."""
        return f"{self.prefix}:names"

    @property
    def objects(self) -> str:
        """What the key of an object begins with."""
        return f"{self.prefix}:object:"

    @property
    def pending(self) -> str:
        """The channel of arrivals."""
        return f"{self.prefix}:pending"

    @property
    def pruned(self) -> str:
        """When what was too old was last removed."""
        return f"{self.prefix}:pruned"

    def object(self, name: str) -> str:
        """The hash of one object."""
        return self.objects + name


_SHARED = """
local function now()
  local time = redis.call('TIME')
  return string.format('%d%06d', time[1], time[2])
end

-- The generation of an object; '' of a hash that has none, which equals no other.
local function generation(key)
  local found = redis.call('HGET', key, 'generation')
  if not found and redis.call('EXISTS', key) == 1 then return '' end
  return found
end

local function answer(key)
  local found = redis.call('HMGET', key, 'generation', 'updated', 'metadata')
  return {'ok', found[1], found[2], redis.call('HSTRLEN', key, 'content'), found[3]}
end

-- Fails where the key is no sorted set.
local function check_names(key) redis.call('ZSCORE', key, '') end

-- What follows changes nothing: where a right is missing, or a full Redis takes no more, a script
-- ends here, before its first real change.
local function try_adding(names, key)
  answer(key)
  redis.call('ZADD', names, 'XX', 0, '')
end
local function try_removing(names) redis.call('ZREM', names, '') end

-- Only a doorbell: a user without the right to the channel may write all the same.
local function ring(channel)
  if channel ~= '' then redis.pcall('PUBLISH', channel, '') end
end
"""

LIST = Script("""
-- KEYS: names. ARGV: what objects' keys begin with, from, to, at most.
local listed = {}
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
for i, name in ipairs(names) do
  local key = ARGV[1] .. name
  local found = redis.pcall('HMGET', key, 'generation', 'updated', 'metadata')
  if found.err then
    listed[i] = {name}
  else
    listed[i] = {name, found[1], found[2], redis.call('HSTRLEN', key, 'content'), found[3]}
  end
end
return listed
""")

STAT = Script("""
-- KEYS: object.
if not generation(KEYS[1]) then return {'not-found'} end
return answer(KEYS[1])
""")

READ = Script("""
-- KEYS: object. ARGV: bytes at most.
local content = redis.call('HGET', KEYS[1], 'content')
if not content then return {'not-found'} end
return {'ok', string.sub(content, 1, tonumber(ARGV[1]))}
""")

CREATE = Script("""
-- KEYS: names, object, and perhaps one that must not exist. ARGV: name, its generation, content,
-- channel.
local there = generation(KEYS[2])
if there == ARGV[2] then return answer(KEYS[2]) end
if there or KEYS[3] and generation(KEYS[3]) then return {'exists'} end
try_adding(KEYS[1], KEYS[2])
redis.call('HSET', KEYS[2], 'content', ARGV[3], 'generation', ARGV[2], 'updated', now())
redis.call('ZADD', KEYS[1], 0, ARGV[1])
ring(ARGV[4])
return answer(KEYS[2])
""")

REPLACE = Script("""
-- KEYS: names, object. ARGV: name, its generation, content, channel.
generation(KEYS[2])
try_adding(KEYS[1], KEYS[2])
redis.call('HDEL', KEYS[2], '')
redis.call('HSET', KEYS[2], 'content', ARGV[3], 'generation', ARGV[2], 'updated', now())
redis.call('HDEL', KEYS[2], 'metadata')
redis.call('ZADD', KEYS[1], 0, ARGV[1])
ring(ARGV[4])
return answer(KEYS[2])
""")

_MOVE = """
-- Of what moves: KEYS begin with names, source, destination; ARGV with source, destination, the
-- source's generation (empty: any), the destination's.

local function is_moved() return generation(KEYS[3]) == ARGV[4] end

-- Why the object cannot be moved, if it cannot.
local function refusal()
  local found = generation(KEYS[2])
  if not found then return {'not-found'} end
  if ARGV[3] ~= '' and found ~= ARGV[3] then return {'other-generation'} end
  if generation(KEYS[3]) then return {'exists'} end
  check_names(KEYS[1])
end

local function move()
  -- First what needs no memory: after its first write a script ends even in a full Redis.
  redis.call('RENAME', KEYS[2], KEYS[2])
  try_removing(KEYS[1])
  try_adding(KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], 'generation', ARGV[4], 'updated', now())
  redis.call('RENAME', KEYS[2], KEYS[3])
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZADD', KEYS[1], 0, ARGV[2])
end
"""

MOVE = Script(
    _MOVE
    + """
-- ARGV: …, channel.
if is_moved() then return answer(KEYS[3]) end
local why = refusal()
if why then return why end
move()
ring(ARGV[5])
return answer(KEYS[3])
"""
)

MOVE_AND_READ = Script(
    _MOVE
    + """
-- KEYS: …, another object. ARGV: …, bytes at most.
local other = generation(KEYS[4])
if not is_moved() then
  local why = refusal()
  if why then return why end
  if redis.call('HEXISTS', KEYS[2], 'content') == 0 then return {'not-found'} end
  move()
end
local content = redis.call('HGET', KEYS[3], 'content')
return {'ok', string.sub(content, 1, tonumber(ARGV[5])), other and 1 or 0}
"""
)

CREATE_AND_MOVE = Script(
    _MOVE
    + """
-- KEYS: …, object, one that must not exist. ARGV: …, the object's name, its generation, content.
local there = generation(KEYS[4])
if there == ARGV[6] then return {'ok'} end
if there or generation(KEYS[5]) then return {'exists'} end
local why = refusal()
if why then return why end
-- First what a full Redis refuses.
try_adding(KEYS[1], KEYS[4])
try_removing(KEYS[1])
redis.call('RENAME', KEYS[2], KEYS[2])
redis.call('HSET', KEYS[4], 'content', ARGV[7], 'generation', ARGV[6], 'updated', now())
redis.call('ZADD', KEYS[1], 0, ARGV[5])
move()
return {'ok'}
"""
)

DELETE = Script("""
-- KEYS: names, object. ARGV: name, generation.
local found = generation(KEYS[2])
if not found then return {'not-found'} end
if found ~= ARGV[2] then return {'other-generation'} end
try_removing(KEYS[1])
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
return {'ok'}
""")

TAKE_OVER = Script("""
-- KEYS: names, object. ARGV: name, the generation to replace, the new one, metadata.
local found = generation(KEYS[2])
if found == ARGV[3] then return answer(KEYS[2]) end
if (found or '0') ~= ARGV[2] then return {'other-generation'} end
try_adding(KEYS[1], KEYS[2])
redis.call('HSET', KEYS[2], 'content', '', 'metadata', ARGV[4],
  'generation', ARGV[3], 'updated', now())
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return answer(KEYS[2])
""")

REFRESH = Script("""
-- KEYS: object. ARGV: generation, metadata.
local found = generation(KEYS[1])
if redis.call('HEXISTS', KEYS[1], 'metadata') == 0 then return {'not-found'} end
if found ~= ARGV[1] then return {'other-generation'} end
answer(KEYS[1])
redis.call('HSET', KEYS[1], 'metadata', ARGV[2], 'updated', now())
return answer(KEYS[1])
""")

IS_PRUNING_DUE = Script("""
-- KEYS: when it was last done. ARGV: microseconds between two. One process in that time gets 1.
local time, last = now(), tonumber(redis.call('GET', KEYS[1]) or 0)
if last <= tonumber(time) and tonumber(time) - last < tonumber(ARGV[1]) then return 0 end
-- A full Redis takes no SET, and needs the removal all the more.
redis.pcall('SET', KEYS[1], time)
return 1
""")

PRUNE = Script("""
-- KEYS: names. ARGV: what objects' keys begin with, from, to, at most, microseconds of age.
-- Returns the last name that was looked at, if any, and how many objects were removed.
try_removing(KEYS[1])
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local limit, removed = tonumber(now()) - tonumber(ARGV[5]), 0
for _, name in ipairs(names) do
  local updated = redis.pcall('HGET', ARGV[1] .. name, 'updated')
  if type(updated) == 'string' and tonumber(updated) < limit then
    redis.call('DEL', ARGV[1] .. name)
    redis.call('ZREM', KEYS[1], name)
    removed = removed + 1
  end
end
return {names[#names] or false, removed}
""")
