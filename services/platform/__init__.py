"""What all rooms use: settings, database, queue, storage, logs, meters, errors, pages.

Uses the records and the contract. Knows no noun of the product: no job, file or model.
"""
