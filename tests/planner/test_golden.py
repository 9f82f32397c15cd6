"""Collectives of the large configurations are those of the golden files, and no others."""

import pytest

from tests.planner import golden


@pytest.mark.parametrize("mesh", golden.MESHES)
@pytest.mark.parametrize("name", golden.SHALLOW)
def test_two_levels_of_a_configuration_have_the_golden_collectives(unchecked, name, mesh):
    assert golden.count(name, mesh, shallow=True) == golden.read(name, shallow=True)[mesh]


@pytest.mark.slow
@pytest.mark.parametrize("mesh", golden.MESHES)
@pytest.mark.parametrize("name", golden.WHOLE)
def test_a_whole_configuration_has_the_golden_collectives(unchecked, name, mesh):
    assert golden.count(name, mesh, shallow=False) == golden.read(name, shallow=False)[mesh]


@pytest.mark.parametrize("shallow", [True, False])
def test_no_mesh_has_collectives_that_nobody_wrote(shallow):
    for name in golden.SHALLOW if shallow else golden.WHOLE:
        for mesh, kinds in golden.read(name, shallow=shallow).items():
            assert "all_to_all" not in kinds
            assert ("collective_permute" in kinds) == ("context" in mesh)
