"""A web application firewall: AWS's managed rules, and a bound on the requests of one address.

What rules find in a request's body is counted and not blocked: a body is a prompt, and a question
about a script, a path or an exploit is a question, which must not be refused for its words.
"""

from troposphere import AWSObject, GetAtt, wafv2

BODY_RULES = {
    "AWSManagedRulesCommonRuleSet": (
        "SizeRestrictions_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        "CrossSiteScripting_BODY",
    ),
    "AWSManagedRulesKnownBadInputsRuleSet": (
        "JavaDeserializationRCE_BODY",
        "Log4JRCE_BODY",
    ),
    "AWSManagedRulesAmazonIpReputationList": (),
}
"""The managed rule groups, and the rules in them that look at bodies."""


def firewall(rate: int, guarded: object) -> list[AWSObject]:
    """The firewall `Firewall` before `guarded`; `rate`: requests of an address in 5 minutes."""
    rules = [
        wafv2.WebACLRule(
            Name="too-many-requests",
            Priority=0,
            Action=wafv2.RuleAction(Block=wafv2.BlockAction()),
            VisibilityConfig=_seen("too-many-requests"),
            Statement=wafv2.Statement(
                RateBasedStatement=wafv2.RateBasedStatement(AggregateKeyType="IP", Limit=rate)
            ),
        )
    ]
    for number, (name, bodies) in enumerate(BODY_RULES.items(), start=1):
        rules.append(
            wafv2.WebACLRule(
                Name=name,
                Priority=number,
                OverrideAction=wafv2.OverrideAction(**{"None": {}}),
                VisibilityConfig=_seen(name),
                Statement=wafv2.Statement(
                    ManagedRuleGroupStatement=wafv2.ManagedRuleGroupStatement(
                        VendorName="AWS",
                        Name=name,
                        RuleActionOverrides=[
                            wafv2.RuleActionOverride(
                                Name=body,
                                ActionToUse=wafv2.RuleAction(Count=wafv2.CountAction()),
                            )
                            for body in bodies
                        ],
                    )
                ),
            )
        )
    wall = wafv2.WebACL(
        "Firewall",
        Scope="REGIONAL",
        DefaultAction=wafv2.DefaultAction(Allow=wafv2.AllowAction()),
        VisibilityConfig=_seen("firewall"),
        Rules=rules,
    )
    association = wafv2.WebACLAssociation(
        "FirewallPlace", WebACLArn=GetAtt(wall, "Arn"), ResourceArn=guarded
    )
    return [wall, association]


def _seen(name: str) -> wafv2.VisibilityConfig:
    return wafv2.VisibilityConfig(
        CloudWatchMetricsEnabled=True, MetricName=name, SampledRequestsEnabled=False
    )
