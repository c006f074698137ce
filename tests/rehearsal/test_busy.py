"""What is being changed by others while it is to go is waited for."""

from tests.rehearsal.account import wait_for
from tests.rehearsal.conftest import LONG_S
from tests.rehearsal.deployments import Deployments
from tests.rehearsal.test_crashes import begin, end, read_until

NAME = "busy"


def test_components_that_are_being_scaled_are_waited_for(deployments: Deployments) -> None:
    aws, before = deployments.aws, deployments.things()
    deployments.write(NAME, target={"mode": "components"}, scale={"min": 1, "max": 3})
    deployments.deploy()
    sagemaker = aws.client("sagemaker")
    wish = {"kind": "slow_download", "name": f"penstock-{NAME}-base", "seconds": LONG_S}
    aws.order("faults", wish)
    sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=f"penstock-{NAME}-base", DesiredRuntimeConfig={"CopyCount": 2}
    )
    destroying = begin(aws, deployments.file, "destroy", aws.url)
    told = read_until("it is let go soon: once more", destroying)
    assert "UPDATE_RC_IN_PROGRESS" in told
    aws.order("clock", {"advance_s": LONG_S})
    code, err = end(destroying)
    assert code == 0, told + err
    assert [each for each in deployments.things() if each not in before] == []


def test_a_component_beside_the_stack_that_is_being_made_is_waited_for(
    deployments: Deployments,
) -> None:
    deployments.write(NAME, target={"mode": "components"}, scale={"min": 1, "max": 3})
    deployments.deploy()
    sagemaker = deployments.aws.client("sagemaker")
    name = f"penstock-{NAME}-base"
    base = sagemaker.describe_inference_component(InferenceComponentName=name)
    container = base["Specification"]["Container"]
    sagemaker.create_inference_component(
        InferenceComponentName=f"penstock-{NAME}-late",
        EndpointName=f"penstock-{NAME}",
        VariantName="AllTraffic",
        Specification={
            "Container": {
                "Image": container["DeployedImage"]["SpecifiedImage"],
                "Environment": container["Environment"],
            },
            "ComputeResourceRequirements": {
                "MinMemoryRequiredInMb": 1024,
                "NumberOfAcceleratorDevicesRequired": 1,
            },
        },
        RuntimeConfig={"CopyCount": 1},
        Tags=[{"Key": "penstock:deployment", "Value": NAME}],
    )
    _, err = deployments.run("destroy", "--yes")
    assert f"penstock-{NAME}-late: being deleted" in err
    wait_for(lambda: not sagemaker.list_inference_components()["InferenceComponents"])
