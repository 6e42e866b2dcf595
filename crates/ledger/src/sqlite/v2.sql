-- How hard a block was to find, and what the operator had of it. Not known of older blocks.
ALTER TABLE blocks ADD COLUMN fee         INTEGER; -- satoshi
ALTER TABLE blocks ADD COLUMN bits        INTEGER; -- the target, as the header has it
ALTER TABLE blocks ADD COLUMN protocol    TEXT;    -- sv1, sv2
ALTER TABLE blocks ADD COLUMN work_before BLOB;    -- as sums.work, of the pool's whole life by then
