-- Gives the roles of roles.sql their passwords. psql reads each from a file on its own machine, so that none appears in
-- an argument or in this file. deploy/compose.yaml uses this; elsewhere set SECRETS to the folder of the files, or use
-- psql's \password.
\getenv secrets SECRETS
\if :{?secrets}
\else
  \set secrets /run/secrets
\endif
\setenv SECRETS :secrets
\set migrator `cat "$SECRETS/migrator-password"`
\set writer `cat "$SECRETS/writer-password"`
\set reader `cat "$SECRETS/reader-password"`
alter role losant_usage_migrator password :'migrator';
alter role losant_usage_writer password :'writer';
alter role losant_usage_reader password :'reader';
