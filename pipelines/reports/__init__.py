"""What people read: the evidence page, the model card, figures and small pictures, the summary in the terminal.

Everything is made from the Parquet tables, the shards and the training logs, and gives the same bytes from the same
tables. Nothing here measures: a number that is not in a table belongs in the room that makes the table.
"""
