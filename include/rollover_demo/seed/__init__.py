"""A season of synthetic districts for the demo and the tests: the same seed gives the same bytes.

`season` says who is in it; `write_district_files` and `load` set it up as it is when a school year has just
ended; `new_year_files`, `broken_files`, `half_files` and `update_files` are what the districts' IT then uploads.
"""

from rollover_demo.seed.load import load
from rollover_demo.seed.oneroster import Files, as_zip
from rollover_demo.seed.season import demo_year, district_file, season, write_district_files
from rollover_demo.seed.specs import DistrictSpec, SchoolSpec, TenantSpec
from rollover_demo.seed.uploads import broken_files, finished_year_files, half_files, new_year_files, update_files

__all__ = [
    "DistrictSpec",
    "Files",
    "SchoolSpec",
    "TenantSpec",
    "as_zip",
    "broken_files",
    "demo_year",
    "district_file",
    "finished_year_files",
    "half_files",
    "load",
    "new_year_files",
    "season",
    "update_files",
    "write_district_files",
]
