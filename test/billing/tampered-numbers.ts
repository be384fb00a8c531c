/** Tampering with the numbers of packs, with hashes, sizes and rows written anew. */
import { join } from 'node:path';
import {
  ADJUSTMENT,
  forged,
  inRow,
  type ManifestText,
  org,
  rowsOf,
  type Tampering,
  without,
} from './copies.ts';

export const TAMPERED_NUMBERS: readonly Tampering[] = [
  [
    'a total of a line',
    forged('lines.csv', 'devices_created', [',14,14,', ',15,15,']),
    'lines.csv',
    /devices_created from 2026-03-01: total is 15, its days come to 14$/,
  ],
  [
    'a quantity of a line',
    forged('lines.csv', 'devices_created', [',14,14,', ',4,14,']),
    'lines.csv',
    /devices_created from 2026-03-01: the quantity is 4, not 14$/,
  ],
  [
    'a level that is its maximum',
    forged('lines.csv', 'devices_total', [',17,17.00,', ',18,17.00,']),
    'lines.csv',
    /devices_total from 2026-03-01: total_max is 18, its days come to 17$/,
  ],
  [
    'an average',
    forged('lines.csv', 'devices_total', ['17.00', '16.00']),
    'lines.csv',
    /total_avg is 16\.00, its days come to 17\.00$/,
  ],
  [
    'the unit of a line',
    forged('lines.csv', 'devices_total', [',devices,', ',bytes,']),
    'lines.csv',
    /there is no such metric in bytes, level$/,
  ],
  [
    'the customer of a line',
    forged('lines.csv', 'devices_total', ['Acme,', 'Acme,C-9']),
    'lines.csv',
    /devices_total from 2026-03-01: referral_id is not that of the other lines$/,
  ],
  [
    'the end of a period',
    (c) => c.forge('lines.csv', (t) => t.replaceAll('2026-03-31', '2026-04-30')),
    'lines.csv',
    /the period 2026-03-01\.\.2026-04-30 is not one of 2026-03$/,
  ],
  [
    'a line removed',
    (c) =>
      c.forge('lines.csv', (t) => without(`${org.acme},Acme,,,,2026-03-01,2026-03-31,devices_deleted`)(t)),
    'lines.csv',
    /devices_deleted from 2026-03-01 is missing, coverage\.csv has cells of it$/,
  ],
  [
    'all lines of an organization removed',
    (c) => c.forge('lines.csv', (t) => without(org.beta)(t)),
    'days.csv',
    /has no line in lines\.csv$/,
  ],
  [
    'days counted as final',
    (c) =>
      c.forge('lines.csv', (t) =>
        inRow(`${org.gamma},`, (r) => r.replace(',31,3,2,2,0,0,0,0,1,', ',31,3,3,3,0,0,0,0,0,'))(t),
      ),
    'lines.csv',
    /days_final is 3, the rows behind it say 2$/,
  ],
  [
    'a day removed',
    (c) => c.forge('days.csv', (t) => without('2026-03-11,2,2')(t)),
    'days.csv',
    /2026-03-11 is missing, coverage\.csv has cells of it$/,
  ],
  [
    'a number of a day',
    forged('days.csv', '2026-03-10', ['final,4,', 'final,5,']),
    'lines.csv',
    /devices_created from 2026-03-01: total is 14, its days come to 15$/,
  ],
  [
    'a number where none is stored',
    forged('days.csv', 'missing', ['missing,,,', 'missing,9,9,9']),
    'days.csv',
    /devices_created is 9, coverage\.csv says not stored$/,
  ],
  [
    'a day called final',
    forged('days.csv', 'missing', ['missing', 'final']),
    'days.csv',
    /standing is final, by coverage\.csv missing$/,
  ],
  [
    'a cell removed',
    (c) => c.forge('coverage.csv', (t) => without('2026-03-12,payload_sources')(t)),
    'days.csv',
    /2026-03-12: streams_expected is 2, by coverage\.csv 1$/,
  ],
  [
    'a missing cell called final',
    forged('coverage.csv', 'missing', ['missing', 'final']),
    'coverage.csv',
    /2026-03-12 device_counts: final, and is_stored is false$/,
  ],
  [
    'a source',
    forged('sources.csv', 'timer,a', ['12,12', '13,13']),
    'sources.csv',
    /the sources from 2026-03-01 come to 27, lines\.csv has 26$/,
  ],
  [
    'a source removed',
    (c) => c.forge('sources.csv', (t) => without('timer,a')(t)),
    'sources.csv',
    /come to 14, lines\.csv has 26$/,
  ],
  [
    'payloads moved between sources',
    (c) =>
      c.forge('sources.csv', (t) =>
        t.replace('timer,a,12,12', 'timer,a,11,12').replace('timer,b,14,14', 'timer,b,15,14'),
      ),
    'sources.csv',
    /timer a from 2026-03-01: the quantity is 11, not 12$/,
  ],
  [
    'a revision removed',
    (c) => c.forge('revisions.csv', (t) => rowsOf(t)[0] + '\r\n'),
    'lines.csv',
    /revision_watermark is \d+, the rows behind it say 0$/,
  ],
  [
    'what a revision says',
    forged('revisions.csv', 'created', ['""created"": 6', '""created"": 5']),
    'revisions.csv',
    /2026-03-11 device_counts: the newest revision has 17, 5, 1, days\.csv 1, 17, 6$/,
  ],
  [
    'a revision of after the moment',
    forged('revisions.csv', 'created', [/,\d{4}-\d\d-\d\dT/, ',2049-01-01T']),
    'revisions.csv',
    /is newer than the statement$/,
  ],
  [
    'a waiver removed',
    (c) => c.forge('waivers.csv', (t) => rowsOf(t)[0] + '\r\n'),
    'waivers.csv',
    /2026-03-11 device_counts: coverage\.csv says accepted, and no waiver holds$/,
  ],
  [
    'a waiver that was lifted',
    (c) =>
      c.forge(
        'waivers.csv',
        inRow('agreed', (r) => `${r}2026-04-01T00:00:00.000000Z`),
      ),
    'waivers.csv',
    /coverage\.csv says accepted, and no waiver holds$/,
  ],
  [
    'the blockers removed',
    (c) => c.forge('blockers.csv', (t) => rowsOf(t)[0] + '\r\n'),
    'blockers.csv',
    /^it has no blocker, and the manifest a reason$/,
  ],
  [
    'the reason removed',
    (c) => c.editManifest((m) => void (m.statement['reason'] = null)),
    'blockers.csv',
    /^it has blockers, and the manifest no reason$/,
  ],
  [
    'the blocker of another organization',
    (c) => c.forge('blockers.csv', (t) => t.replaceAll(org.gamma, org.acme)),
    'blockers.csv',
    /not every cell is final or accepted, and no blocker was accepted$/,
  ],
  [
    'a total of the manifest',
    (c) => c.editManifest((m) => void ((m.totals[0] as { quantity: string }).quantity = '1')),
    'manifest.json',
    /^totals: devices_created of lines\.csv is 30 of 3 organizations; the manifest has 1 of 3 for devices_created$/,
  ],
  [
    'a total removed',
    (c) => c.editManifest((m) => void m.totals.pop()),
    'manifest.json',
    /^totals: payload_source_count of lines\.csv is 26 of 1 organizations; the manifest has not stored of 0 for nothing$/,
  ],
  [
    'a total more',
    (c) =>
      c.editManifest(
        (m) => void m.totals.push({ ...m.totals[0], metric: 'fee' } as ManifestText['totals'][0]),
      ),
    'manifest.json',
    /^totals: fee has no line in lines\.csv$/,
  ],
  [
    'the number of organizations',
    (c) => c.editManifest((m) => void (m.statement['orgs'] = 4)),
    'manifest.json',
    /^orgs is 4, lines\.csv has 3$/,
  ],
  [
    'an adjustment times a hundred',
    forged('lines.csv', 'devices_created', [',4,12,', ',400,12,'], ADJUSTMENT),
    join(ADJUSTMENT, 'lines.csv'),
    /devices_created from 2026-03-01: the quantity is 400, not 4$/,
  ],
  [
    'an adjustment of a source',
    forged('sources.csv', 'timer,b', [',1,15', ',2,15'], ADJUSTMENT),
    join(ADJUSTMENT, 'sources.csv'),
    /come to 2, lines\.csv has 1$/,
  ],
];
