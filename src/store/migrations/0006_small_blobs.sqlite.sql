-- The fs driver keeps small blobs in a file of their own (docs/decisions/0015-small-uploads.md).
-- Nothing here changes; a program from before that would not find them, so it has to say no.
SELECT 1;
