"""The papers of an acceptance beside its report: scheme, site check, raw records, deviations, comparison, opinion, public summary.

Each is drawn from a case's record, plan and ledger and leaves blank what only people can write. None may compute a result, print a
mark of accreditation, or fill in a blank.
"""
