"""Data contracts: what every published table promises, in the Open Data Contract Standard v3.0.2.

The ``*.odcs.yaml`` files are the only place where a column, a type or a rule is written down. This package
reads them, turns them into Arrow schemas, SQL types and Great Expectations suites, and gives a verdict for
each rule. It imports nothing of ``pipelines``, writes no table and knows no radiology.
"""

from data_contracts.check import check_table, check_tables
from data_contracts.columns import ContractError
from data_contracts.contract import Contract, arrow_schema, contract, contracts
from data_contracts.verdict import Verdict, broken

__all__ = [
    "Contract",
    "ContractError",
    "Verdict",
    "arrow_schema",
    "broken",
    "check_table",
    "check_tables",
    "contract",
    "contracts",
]
