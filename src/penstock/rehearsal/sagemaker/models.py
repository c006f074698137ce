"""Models, endpoint configurations and tags: what SageMaker merely remembers."""

from typing import Any

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.refusals import AwsError, invalid
from penstock.rehearsal.sagemaker.records import EndpointConfig, Estate, Model

LARGEST_SERVERLESS_MB = 6144
Parameters = dict[str, Any]


class Models:
    """The operations on models and endpoint configurations."""

    def __init__(self, cloud: Cloud, estate: Estate) -> None:
        self._cloud, self._estate = cloud, estate

    def create_model(self, given: Parameters) -> Parameters:
        """Remember a model."""
        name = given["ModelName"]
        if name in self._estate.models:
            raise invalid(f'Cannot create already existing model "{self._model_arn(name)}".')
        if not given.get("PrimaryContainer") and not given.get("Containers"):
            raise invalid("Either PrimaryContainer or Containers must be given")
        for container in given.get("Containers") or [given.get("PrimaryContainer", {})]:
            if not container.get("Image") and not container.get("ModelPackageName"):
                raise invalid("A container names an Image or a ModelPackageName")
        if given.get("ExecutionRoleArn"):
            require_role(self._cloud, given["ExecutionRoleArn"])
        model = Model(name, self._model_arn(name), given)
        self._estate.models[name] = model
        tag(self._estate, model.arn, given.get("Tags", ()))
        return {"ModelArn": model.arn}

    def describe_model(self, given: Parameters) -> Parameters:
        """Return a model as it was given."""
        model = self._model(given["ModelName"])
        return {**model.spec, "ModelArn": model.arn, "CreationTime": model.created}

    def list_models(self, given: Parameters) -> Parameters:
        """Return the models whose name contains what is asked for."""
        return {
            "Models": [
                {"ModelName": each.name, "ModelArn": each.arn, "CreationTime": each.created}
                for each in self._estate.models.values()
                if given.get("NameContains", "") in each.name
            ]
        }

    def delete_model(self, given: Parameters) -> Parameters:
        """Forget a model."""
        model = self._model(given["ModelName"])
        del self._estate.models[model.name]
        self._estate.tags.pop(model.arn, None)
        return {}

    def create_endpoint_config(self, given: Parameters) -> Parameters:
        """Remember an endpoint configuration that could be used."""
        name = given["EndpointConfigName"]
        arn = self._cloud.arn("sagemaker", f"endpoint-config/{name}")
        if name in self._estate.configs:
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        for variant in given["ProductionVariants"]:
            self._check_variant(variant, given)
        if given.get("ExecutionRoleArn"):
            require_role(self._cloud, given["ExecutionRoleArn"])
        self._estate.configs[name] = EndpointConfig(name, arn, given)
        tag(self._estate, arn, given.get("Tags", ()))
        return {"EndpointConfigArn": arn}

    def describe_endpoint_config(self, given: Parameters) -> Parameters:
        """Return a configuration as it was given."""
        config = self._config(given["EndpointConfigName"])
        return {**config.spec, "EndpointConfigArn": config.arn, "CreationTime": config.created}

    def list_endpoint_configs(self, given: Parameters) -> Parameters:
        """Return the configurations whose name contains what is asked for."""
        return {
            "EndpointConfigs": [
                {
                    "EndpointConfigName": each.name,
                    "EndpointConfigArn": each.arn,
                    "CreationTime": each.created,
                }
                for each in list(self._estate.configs.values())
                if given.get("NameContains", "") in each.name
            ]
        }

    def delete_endpoint_config(self, given: Parameters) -> Parameters:
        """Forget a configuration."""
        config = self._config(given["EndpointConfigName"])
        del self._estate.configs[config.name]
        self._estate.tags.pop(config.arn, None)
        return {}

    def add_tags(self, given: Parameters) -> Parameters:
        """Add tags to what has that ARN."""
        tag(self._estate, given["ResourceArn"], given["Tags"])
        return {"Tags": as_list(self._estate.tags[given["ResourceArn"]])}

    def list_tags(self, given: Parameters) -> Parameters:
        """Return the tags of what has that ARN."""
        return {"Tags": as_list(self._estate.tags.get(given["ResourceArn"], {}))}

    def delete_tags(self, given: Parameters) -> Parameters:
        """Take tags away from what has that ARN."""
        for key in given["TagKeys"]:
            self._estate.tags.get(given["ResourceArn"], {}).pop(key, None)
        return {}

    def _check_variant(self, variant: Parameters, config: Parameters) -> None:
        model = variant.get("ModelName")
        if model and model not in self._estate.models:
            raise invalid(f'Could not find model "{self._model_arn(model)}".')
        if serverless := variant.get("ServerlessConfig"):
            if variant.get("InstanceType"):
                raise invalid("A serverless variant has no InstanceType")
            if serverless["MemorySizeInMB"] > LARGEST_SERVERLESS_MB:
                raise invalid(f"MemorySizeInMB is {LARGEST_SERVERLESS_MB} at most")
            return
        if not variant.get("InstanceType") and not variant.get("InstancePools"):
            raise invalid(f"Variant {variant['VariantName']} has no InstanceType")
        if not model and not config.get("ExecutionRoleArn"):
            raise invalid(
                "ExecutionRoleArn is required when a production variant names no model, "
                "because inference components need it"
            )

    def _model(self, name: str) -> Model:
        if name not in self._estate.models:
            raise invalid(f'Could not find model "{self._model_arn(name)}".')
        return self._estate.models[name]

    def _config(self, name: str) -> EndpointConfig:
        if name not in self._estate.configs:
            arn = self._cloud.arn("sagemaker", f"endpoint-config/{name}")
            raise invalid(f'Could not find endpoint configuration "{arn}".')
        return self._estate.configs[name]

    def _model_arn(self, name: str) -> str:
        return self._cloud.arn("sagemaker", f"model/{name}")


def require_role(cloud: Cloud, arn: str) -> None:
    """Raise ValidationException unless IAM has the role and SageMaker may take it on."""
    name = arn.rpartition("/")[2]
    iam = cloud.client("iam")
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException as error:
        raise invalid(f"Could not access role {arn}: it does not exist") from error
    if "sagemaker.amazonaws.com" not in str(role["AssumeRolePolicyDocument"]):
        raise AwsError(
            "ValidationException",
            f"Could not assume role {arn}. Please ensure that the role exists and allows "
            "principal 'sagemaker.amazonaws.com' to assume the role.",
        )


def tag(estate: Estate, arn: str, tags: Any) -> None:
    """Add `[{Key, Value}]` to the tags of `arn`."""
    estate.tags.setdefault(arn, {}).update({each["Key"]: each.get("Value", "") for each in tags})


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags as AWS lists them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
