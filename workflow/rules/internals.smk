"""All that the rules know of Snakemake beyond its documentation; tests/test_internals.py tries it."""


def on_cluster():
    """Whether jobs go to a cluster, seen from the login node and from inside of a job."""
    return workflow.remote_exec or workflow.resource_settings.nodes is not None


if on_cluster() and any(map(str.isspace, sys.executable)):
    sys.exit(
        f"attparse: Python lies in {sys.executable}, and Snakemake does not quote its path in the jobs"
        " of a cluster; move the project to a folder without spaces."
    )


def limit_of(resource):
    """What `--resources` or a profile allows of a resource for all jobs together, None if nothing."""
    limit = workflow.global_resources.get(resource)
    return limit and limit.value


def unwatched(param):
    """The same param, of which a change reruns nothing.

    Snakemake leaves params out of what it compares if their function takes `threads`: such a param
    may differ from machine to machine.
    """

    def unchanged(wildcards, threads):
        return param(wildcards)

    return unchanged
