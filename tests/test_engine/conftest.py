import pytest

# Imports are in the fixtures: what starts the workers reads this file, and needs none of them.


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """Ten videos, one of them unusable."""
    from cmac_mm.preparation.sounding_shapes import make_sounding_shapes

    folder = tmp_path_factory.mktemp("shapes")
    make_sounding_shapes(folder, num_train=10, num_test=2, num_bad=1, seed=0, workers=2)
    return folder


@pytest.fixture
def config(shapes):
    from helpers.training import make_config

    def make(work_dir, **options):
        return make_config(shapes, work_dir, options)

    return make


@pytest.fixture(scope="session")
def whole_run(shapes, tmp_path_factory):
    """Folder, steps and state of a run that nothing stops."""
    from helpers.training import make_config, train

    folder = tmp_path_factory.mktemp("whole")
    return folder, *train(make_config(shapes, folder, {}))
