"""Kafka, PostgreSQL and the services of one running system, all in one folder. Used by ./dev up and by the tests."""
import signal as signals

from . import kafka as kafka_module
from . import services as service_module
from .postgres import Postgres
from .processes import wait_until
from .say import DevError
from .services import DATABASE, Service
from .settings import port_setting, port_taken


class Stack:
    def __init__(self, layout, settings, fast_database=False, jvm=None):
        self.layout = layout
        self.settings = settings
        self.kafka = kafka_module.Kafka(layout, settings.folder, settings.ports["kafka"],
                                        settings.ports["kafka_controller"], jvm=jvm)
        self.postgres = Postgres(settings.folder, settings.ports["postgres"], settings.secret("database_superuser"),
                                 fast=fast_database)
        self.services = {
            name: Service(description, settings, layout.binaries, self.kafka, self.postgres)
            for name, description in service_module.DESCRIPTIONS.items()
        }

    # --- everything by name ---

    def members(self):
        """Every member by name, in the order of starting."""
        return {"kafka": self.kafka, "postgres": self.postgres, **self.services}

    def member(self, name):
        members = self.members()
        if name not in members:
            raise DevError(f"there is no {name!r}; there are: {', '.join(members)}")
        return members[name]

    def kill(self, name, number=signals.SIGKILL):
        """Sends a signal to a member. After SIGKILL nothing of it is left when this returns."""
        if number == signals.SIGKILL:
            self.member(name).kill()
        else:
            self.member(name).signal(number)

    def start(self, name):
        """Starts a member and waits until it is ready."""
        self.check_ports(name)
        member = self.member(name)
        member.start()
        member.wait_ready()

    def wait_all_ready(self, timeout=60):
        """Waits until every service is ready at once; DevError says of those that are not why."""
        def unready():
            found = ((one.name, one.unready() if one.alive() else "it has ended") for one in self.services.values())
            return [(name, why) for name, why in found if why is not None]
        wait_until(lambda: not unready(), timeout, "all services to be ready", interval=0.2,
                   why=lambda: "".join(f"\n  {name}: {why}" for name, why in unready()))

    def stop_all(self):
        """Ends everything in the reverse order of starting; returns the names of those that had to be killed."""
        forced = []
        for name, member in reversed(self.members().items()):
            if not member.stop():
                forced.append(name)
        return forced

    # --- servers ---

    def start_servers(self):
        """Kafka and PostgreSQL at once; each takes a second or two."""
        fresh = [one for one in (self.kafka, self.postgres) if not one.alive()]
        for one in fresh:
            self.check_ports(one.name)
        for one in fresh:
            one.start()
        for one in fresh:
            one.wait_ready()
        return [one.name for one in fresh]

    def prepare_database(self):
        """The database and a login role for each service."""
        roles = [one.role for one in service_module.DESCRIPTIONS.values() if one.role]
        script = self.layout.deploy / "postgres" / "roles.sql"  # the same that a container installation runs
        passwords = {f"{role.upper()}_PASSWORD": self.settings.secret(f"database_{role}") for role in roles}
        self.postgres.sql(script.read_text(encoding="utf-8"), env=passwords)

    def migrate(self):
        for service in self.services.values():
            if service.description.migrates:
                service.call("migrate")

    @property
    def database_url(self):
        """For `millrace admin log` and `millrace-fleet --verify`: with the rights of storage-writer, no superuser's."""
        return self.postgres.url(DATABASE, "storage_writer", self.settings.secret("database_storage_writer"))

    # --- ports ---

    def ports_of(self, name):
        if name == "kafka":
            return ["kafka", "kafka_controller"]
        if name == "postgres":
            return ["postgres"]
        description = self.services[name].description
        secure = description.secure_ports.values() if self.settings.authority else ()
        return [description.ops_port, *description.ports.values(), *description.local_ports.values(), *secure]

    def check_ports(self, name):
        for port in self.ports_of(name):
            number = self.settings.ports[port]
            address = "127.0.0.1" if name in ("kafka", "postgres") else self.settings.listen
            if port_taken(number, address):
                raise DevError(f"{name} cannot start: port {number} is in use. Give it another one with "
                               f"{port_setting(port)}=…, or shift all with MILLRACE_DEV_PORT_OFFSET=…")
