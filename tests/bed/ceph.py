# SPDX-License-Identifier: Apache-2.0
"""
An S3 store: Ceph's object gateway with one monitor and one OSD, no manager.

Without `durable` the OSD keeps everything in memory: ready soonest, and gone when it is killed.
With it (BlueStore in a file) each of the three can be killed and started again.
A frozen or dead OSD answers nothing at all, for any time: clients need deadlines of their own.
"""
import json
import secrets
import socket
import uuid

from . import s3, servers

REGION, BUCKET = "us-east-1", "dossier-test"
CONFIGURATION = """
[global]
fsid = {cluster}
mon_host = v2:127.0.0.1:{mon}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
# no keys between the daemons; then the gateway must not ask for an encrypted link, either
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
run_dir = {home}
admin_socket = {home}/$name.$pid.asok
log_to_file = false
log_to_stderr = true
err_to_stderr = true
mon_cluster_log_to_file = false
mon_cluster_log_to_stderr = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
# a frozen OSD would otherwise stay "laggy" after it was resumed
osd_pool_default_read_lease_ratio = 100
osd_crush_chooseleaf_type = 0
[mon]
mon_data = {home}/mon
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
# at 1 s, the default, each of the gateway's pools costs 2 s
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
[osd]
osd_data = {home}/osd
osd_objectstore = {store}
osd_op_num_shards = 1
osd_op_num_threads_per_shard = 2
memstore_device_bytes = 4294967296
bluestore_block_size = 8589934592
bluestore_cache_autotune = false
bluestore_cache_size = 67108864
[client.rgw]
# without tcp_nodelay each request on a kept connection takes 45 ms
rgw_frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1
rgw_data = {home}/rgw
rgw_enable_apis = s3, admin
rgw_thread_pool_size = 64
rgw_rados_pool_pg_num_min = 4
rgw_run_sync_thread = false
# what is deleted would stay in memory for two hours: a run of all suites filled the store
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 5
rgw_gc_processor_max_time = 5
"""


class Ceph(servers.Engine):
    """.mon, .osd and .gateway are its daemons, .s3 a client with all rights on .bucket."""

    name = "s3"

    def __init__(self, durable=False):
        super().__init__(memory=not durable)
        self.durable = durable
        self.bucket = BUCKET

    def _start(self):
        mon, number, cluster, osd = self.port(), self.port(), uuid.uuid4(), uuid.uuid4()
        self.number = number
        self.endpoint = f"http://127.0.0.1:{number}"
        self.env = {"CEPH_CONF": str(self.write("ceph.conf", CONFIGURATION.format(
            cluster=cluster, mon=mon, gateway=number, home=self.home,
            store="bluestore" if self.durable else "memstore")))}
        for name in "mon", "osd", "rgw":
            self.run("mkdir", self.home / name)
        self.mon = self._daemon("mon", "ceph-mon", "-i", "a", ready=lambda: servers.answers(mon))
        self.osd = self._daemon("osd", "ceph-osd", "-i", "0", ready=self._osd_up)
        self.gateway = self._daemon("gateway", "radosgw", "-n", "client.rgw",
                                    ready=lambda: servers.answers(number))
        self.run(servers.program("monmaptool"), "--create", "--fsid", cluster, "--addv", "a",
                 f"[v2:127.0.0.1:{mon}]", self.home / "monmap")
        self.run(servers.program("ceph-mon"), "--mkfs", "-i", "a",
                 "--monmap", self.home / "monmap", env=self.env)
        self.mon.start()
        self.ceph("osd", "new", osd)
        self.run(servers.program("ceph-osd"), "-i", "0", "--mkfs", "--osd-uuid", osd, env=self.env)
        self.osd.launch()
        keys = self.user("dossier")
        self.gateway.start()
        self.s3 = s3.Client(self.endpoint, *keys, REGION)
        self.s3.make_bucket(self.bucket)

    def _daemon(self, name, command, *argv, ready):
        return self.add(name, [servers.program(command), "-f", *argv], ready, self.env)

    def ceph(self, *argv, **options):
        """The cluster's own command line tool; what it prints."""
        return self.run(servers.program("ceph"), "--connect-timeout", "20", *argv, env=self.env,
                        **options)

    def _osd_up(self):
        """Asks the process itself: the monitor believes in a dead one for a while."""
        path = self.home / f"osd.0.{self.osd.pid}.asok"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(path))
                connection.sendall(b'{"prefix": "status"}\0')
                return json.loads(connection.makefile("rb").read()[4:])["state"] == "active"
        except (OSError, ValueError):
            return False

    def user(self, name):
        """A new user of the gateway: its access key and its secret key."""
        keys = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
        self.run(servers.program("radosgw-admin"), "user", "create", f"--uid={name}",
                 f"--display-name={name}", f"--access-key={keys[0]}", f"--secret-key={keys[1]}",
                 env=self.env)
        return keys

    @property
    def url(self):
        return self.url_at(self.endpoint)

    def url_at(self, endpoint):
        """The bucket as seen through a proxy."""
        return f"s3://{self.bucket}?endpoint={endpoint}&region={REGION}"

    @property
    def credentials(self):
        """Of the user whose bucket it is, as environment variables."""
        return {"AWS_ACCESS_KEY_ID": self.s3.access_key,
                "AWS_SECRET_ACCESS_KEY": self.s3.secret_key}
