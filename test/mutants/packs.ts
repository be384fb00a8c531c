/** Defects in proof packs and their checks. */
import { plant } from './mutant.ts';

export const packMutants = [
  plant(
    { file: 'src/billing/read-packs.ts', test: 'test/billing/verify.test.ts' },
    {
      'Only regular files of a pack are opened': [
        'constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK',
        'constants.O_RDONLY | constants.O_NONBLOCK',
      ],
      'A pack that has lost its manifest is a problem': [
        'CSV_NAMES.some((name) => unlistedNames.has(name))',
        'unlistedNames.has(CHECKS_NAME + 1)',
      ],
      'A file with other bytes is a problem': [
        `if (hash.digest('hex') !== entry?.sha256) throw`,
        `if (entry?.sha256 === '') throw`,
      ],
    },
  ),
  plant(
    { file: 'src/billing/read-packs.ts', test: 'test/billing/verify.test.ts' },
    {
      'A folder that a killed process has left is no pack': [
        'if (folder.includes(UNFINISHED_INFIX)) {',
        'if (folder === UNFINISHED_INFIX) {',
      ],
      'A file that the manifest does not list is a problem': [
        'for (const name of unlistedNames) verification',
        'for (const name of [...unlistedNames].slice(1)) verification',
      ],
      'A signature matches the manifest and one of the keys': [
        'if (!verify(null, bytes, key, signature))',
        'if (signature.length === 0)',
      ],
      'A manifest refers to the one with the previous number': [
        'linkedPack !== undefined && linkedPack.manifestSha256 !== link.sha256',
        'linkedPack !== undefined && link.sha256 === null',
      ],
    },
  ),
  plant(
    { file: 'src/billing/read-packs.ts', test: 'test/billing/verify.test.ts' },
    {
      'A pack is checked with the checks of the release, not with its own': [
        'const checksSql = await readChecks(checks).catch(() => {',
        "const checksSql = await import('node:fs/promises').then(({ readFile }) => readFile(join(path, 'pack-checks.sql'), 'utf8')).catch(() => {",
      ],
    },
  ),
  plant(
    {
      file: 'src/billing/check-pack.ts',
      test: 'test/billing/verify.test.ts',
      only: 'of the statement in the database',
    },
    {
      'verify compares the statement with its row': [
        'if (!(await matchesRow(trx, pack.manifest.statement)))',
        'if (false)',
      ],
    },
  ),
  plant(
    { file: 'src/billing/check-pack.ts', test: 'test/billing/verify.test.ts', only: 'a tampered pack' },
    {
      'billed_before of a line is what the earlier statements billed': [
        'where l.billed_before is not e.quantity limit 20',
        'where false',
      ],
      'A correction goes to the customer of the line it corrects': [
        'b.metric = l.metric)\n  where (l.org_name',
        'b.metric = l.metric) and false\n  where (l.org_name',
      ],
      'The same revision has the same numbers in every pack': ['and e.revision = c.revision', 'and false'],
      'Packs are compared by stream': ['select stream, group_concat', "select '' as stream, group_concat"],
    },
  ),
  plant(
    { file: 'pack-checks/1.sql', test: 'test/billing/verify.test.ts', only: 'a tampered pack' },
    {
      'A waived cell has one waiver in force': [
        'group by org_id, usage_date, stream having count(*) > 1 limit 20;',
        'group by org_id, usage_date, stream having count(*) > 2 limit 20;',
      ],
      'A waived cell names its waiver': ["c.standing = 'waived' and c.reason <> w.cell_reason", 'false'],
      'Nothing is lifted after the statement': [' or w.lifted_at > s.closed_at', ''],
      'A revision is an object with a number': ["and json_type(new) = 'object' and new <> '{}'", ''],
      'A stored number has the time and the hash of its response': [
        "c.is_stored = 'true' and (c.last_read_at = ''",
        "c.is_stored = 'none' and (c.last_read_at = ''",
      ],
      'An integer is valid only as it would be written back': [
        `(total = '' or (cast(total as integer) || '' = total and total >= '0'))`,
        `(total = '' or total >= '0')`,
      ],
      'A total is the sum of its days': [
        `where l.kind = 'flow' and l.total is not f.total limit 20;`,
        `where l.kind = 'none' and l.total is not f.total limit 20;`,
      ],
      'No cell was read before its day ended': [
        "when c.last_read_at < d.ends_at and c.last_read_at <> ''",
        'when false',
      ],
      'A final cell was read late enough': ['c.last_read_at < d.final_at', 'false'],
      'Two rows of one key are a problem': ['from files where rows > keys;', 'from files where false;'],
      'New lines of an organization have one customer': [
        'having count(distinct org_name) > 1 or count(distinct referral_id) > 1',
        'having count(distinct org_name) > 1 and count(distinct referral_id) > 1',
      ],
      'A number of a day that is not settled counts nowhere': [
        'iif(c.is_devices_settled, d.devices_created, null)',
        'd.devices_created',
      ],
      'Blockers name the streams of their cells': [
        '(b.days, b.first_day, b.last_day, b.matching_streams, b.named_streams)',
        '(b.days, b.first_day, b.last_day, b.named_streams, b.named_streams)',
      ],
      'A cell at revision four has three revisions on record': [
        'having count(r.revision) <> c.revision - 1 limit 20;',
        'having count(r.revision) > c.revision limit 20;',
      ],
      'A revision begins with what the one before it stored': [
        'and c.path = a.path and c.revision < a.revision) and a.old is not b.new limit 20;',
        'and c.path = a.path and c.revision < a.revision) and false limit 20;',
      ],
      'A waived cell has a waiver in force': [
        `where c.standing = 'waived' and w.id is null limit 20;`,
        'where false limit 20;',
      ],
      'A waiver of the program has a run and its one reason': [
        `when 'program' then waived_by_run <> '' and reason = 'before_creation' else false end`,
        `when 'program' then true else false end`,
      ],
    },
  ),
].flat();
