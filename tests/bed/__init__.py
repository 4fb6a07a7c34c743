# SPDX-License-Identifier: Apache-2.0
"""
Real servers for tests, each started from its Debian package as an unprivileged user, on free
loopback ports, in a temporary directory, and stopped by its process id.

    from bed import ceph, haproxy, postgres, redis
    with postgres.Postgres() as database, ceph.Ceph() as store: ...

`tests/bed/run.py pg s3 redis -- COMMAND` is the same for any command.
"""
