"""The stand-in for AWS, put together."""

import threading

from penstock.rehearsal.addresses.balancing import Balancer
from penstock.rehearsal.addresses.directory import Directory
from penstock.rehearsal.addresses.rest import RestApis
from penstock.rehearsal.caches import Caches
from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.cloudformation.api import CloudFormation
from penstock.rehearsal.cloudformation.execution import Execution
from penstock.rehearsal.cloudformation.records import Deck
from penstock.rehearsal.containers.api import Services
from penstock.rehearsal.containers.builds import Builds
from penstock.rehearsal.containers.health import TargetHealth
from penstock.rehearsal.containers.records import Yard
from penstock.rehearsal.containers.steering import Steering
from penstock.rehearsal.control import Control
from penstock.rehearsal.figures import Figures
from penstock.rehearsal.functions.running import Functions
from penstock.rehearsal.inventory import Inventory
from penstock.rehearsal.permissions.watch import Simulation, Watch
from penstock.rehearsal.pulse import Pulse
from penstock.rehearsal.runtime.invoking import Runtime
from penstock.rehearsal.sagemaker.control_plane import ControlPlane
from penstock.rehearsal.sagemaker.quotas import Quotas
from penstock.rehearsal.sagemaker.records import Estate
from penstock.rehearsal.scaling import Scaling
from penstock.rehearsal.server import Front, listen
from penstock.rehearsal.service import Service


class StandIn:
    """AWS on loopback; `cloud.url` says where."""

    def __init__(self, cloud: Cloud, port: int = 0) -> None:
        self.cloud, self.estate, self.deck = cloud, Estate(), Deck()
        self._inventory = Inventory(cloud, self.estate, self.deck)
        control = Control(cloud, self._inventory.everything)
        control.add("POST", "foreign", self._inventory.plant)
        scaling, yard = Scaling(cloud, self.estate), Yard()
        self._steering, self._functions = Steering(cloud, yard), Functions(cloud)
        self._pulse = Pulse(cloud, self.estate, scaling, self._functions)
        apis = RestApis(cloud, self._functions)
        directory = Directory(cloud, Balancer(cloud, yard), apis)
        control.add("GET", "addresses", directory.everything)
        watch, quotas = Watch(cloud), Quotas(self.estate)
        control.add("POST", "quotas", quotas.order)
        services = (
            Service("application-autoscaling", scaling),
            Service("cloudwatch", Figures(cloud)),
            Service("codebuild", Builds(cloud)),
            Service("ecs", Services(cloud, yard, self._steering)),
            Service("elasticache", Caches(cloud)),
            Service("elbv2", TargetHealth(yard)),
            Service("iam", Simulation(watch.principals)),
            Service("sagemaker", ControlPlane(cloud, self.estate, quotas)),
            Service("service-quotas", quotas),
            Service(
                "cloudformation", CloudFormation(cloud, self.deck, Execution(cloud, self.deck))
            ),
        )
        front = Front(
            cloud, services, Runtime(cloud, self.estate, watch), control, directory, watch
        )
        self._server = listen(front, port)
        cloud.url = f"http://127.0.0.1:{self._server.server_port}"

    def serve(self) -> None:
        """Answer until `stop` is called."""
        self._pulse.start()
        self._server.serve_forever()

    def serve_in_background(self) -> None:
        """Answer from a thread of its own."""
        threading.Thread(target=self.serve, name="stand-in", daemon=True).start()

    def stop(self) -> None:
        """End the engines, then the server."""
        self._pulse.stop()
        self._steering.stop()
        self._functions.stop()
        held = [v.copies for e in self.estate.endpoints.values() for v in e.variants.values()]
        held += [c.copies for c in self.estate.components.values() if c.copies is not None]
        for copies in held:
            copies.begin_to_stop()
        for copies in held:
            copies.stop()
        self._server.shutdown()
        self._server.server_close()
