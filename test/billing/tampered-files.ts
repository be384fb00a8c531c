/** Tampering with the files of packs, their manifests and the chain. */
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ADJUSTMENT, forged, inRow, type ManifestFile, swapped, type Tampering, twice } from './copies.ts';

export const TAMPERED_FILES: readonly Tampering[] = [
  [
    'a byte of the lines',
    (c) => c.edit('lines.csv', (t) => t.replace('Acme', 'Acne')),
    'lines.csv',
    /^was changed: its SHA-256 is another$/,
  ],
  [
    'a byte at the end of a file',
    (c) => c.edit('days.csv', (t) => `${t} `),
    'days.csv',
    /^was changed: it has \d+ bytes instead of \d+$/,
  ],
  [
    'a space in the manifest',
    (c) => c.edit('manifest.json', (t) => t.replace('{', '{ ')),
    'manifest.json',
    /^is not written as close writes it/,
  ],
  [
    'a manifest that is cut off',
    (c) => c.edit('manifest.json', (t) => t.slice(0, 100)),
    'manifest.json',
    /^is no JSON document$/,
  ],
  [
    'another format',
    (c) => c.editManifest((m) => Object.assign(m, { format: 2 })),
    'manifest.json',
    /^format: /,
  ],
  [
    'a month that is none',
    (c) => c.editManifest((m) => void (m.statement['month'] = '2026-13')),
    'manifest.json',
    /^statement\.month: /,
  ],
  ['a file removed', (c) => rm(c.path('waivers.csv')), 'waivers.csv', /^is missing$/],
  [
    'a folder in place of a file',
    async (c) => {
      await rm(c.path('days.csv'));
      await mkdir(c.path('days.csv'));
    },
    'days.csv',
    /^is (a folder|missing)$/,
  ],
  [
    'a file removed from the manifest too',
    async (c) => {
      await rm(c.path('waivers.csv'));
      await c.editManifest((m) => {
        m.files = m.files.filter(({ name }) => name !== 'waivers.csv');
      });
    },
    'manifest.json',
    /^names waivers\.csv 0 times$/,
  ],
  [
    'a file named twice',
    (c) => c.editManifest((m) => void m.files.push(m.files[0] as ManifestFile)),
    'manifest.json',
    /^names lines\.csv 2 times$/,
  ],
  ['a file more', (c) => writeFile(c.path('more.csv'), 'a'), 'more.csv', /^is in no manifest$/],
  [
    'a signature that was not made',
    (c) => writeFile(c.path('manifest.json.sig'), 'a'),
    'manifest.json.sig',
    /^is in no manifest$/,
  ],
  [
    'the manifest of the adjustment removed',
    (c) => rm(c.path(ADJUSTMENT, 'manifest.json')),
    join(ADJUSTMENT, 'lines.csv'),
    /^is in no manifest$/,
  ],
  [
    'the closing removed',
    async (c) => {
      await rename(c.path(ADJUSTMENT), `${c.out}-kept`);
      await rm(c.out, { recursive: true });
      await rename(`${c.out}-kept`, c.out);
    },
    'manifest.json',
    /^follows statement 3 of 2026-03, which is missing$/,
  ],
  [
    'the adjustment doubled',
    (c) => cp(c.path(ADJUSTMENT), c.path('adjustment-2'), { recursive: true }),
    join('adjustment-2', 'manifest.json'),
    /^has the number 4, as has adjustment-1\/manifest\.json$/,
  ],
  [
    'the closing written anew',
    (c) => c.forge('lines.csv', (t) => t.replaceAll('Acme', 'Acne')),
    join(ADJUSTMENT, 'manifest.json'),
    /^follows a manifest with the SHA-256 \w+; that of number 3, manifest\.json, is \w+$/,
  ],
  [
    'an adjustment called a closing',
    (c) =>
      c.editManifest((m) => {
        m.statement['kind'] = 'closing';
      }, ADJUSTMENT),
    join(ADJUSTMENT, 'manifest.json'),
    /^is a closing, and follows 1 statements of its month$/,
  ],
  [
    'an adjustment that knows of no closing',
    (c) =>
      c.editManifest((m) => {
        m.statement.earlier = [];
      }, ADJUSTMENT),
    'manifest.json',
    /^is a statement of 2026-03 that adjustment-1\/manifest\.json does not know$/,
  ],
  [
    'another column',
    (c) => c.editManifest((m) => void m.files[0]?.columns.reverse()),
    'manifest.json',
    /^names other columns of lines\.csv$/,
  ],
  [
    'a header of other columns',
    (c) => c.forge('lines.csv', (t) => t.replace('org_name', 'name')),
    'lines.csv',
    /^is no CSV file of a pack: line 1 names other columns/,
  ],
  [
    'a quote that never ends',
    forged('lines.csv', 'devices_total', ['Acme', '"Acme']),
    'lines.csv',
    /^is no CSV file of a pack: /,
  ],
  [
    'a cell more',
    (c) =>
      c.forge(
        'sources.csv',
        inRow('timer', (r) => `${r},1`),
      ),
    'sources.csv',
    /^is no CSV file of a pack: /,
  ],
  [
    'a word for a number',
    forged('lines.csv', 'devices_created', [',14,14,', ',14,many,']),
    'lines.csv',
    /^line 2: total is many$/,
  ],
  [
    'a number that is not there',
    forged('lines.csv', 'devices_created', [',14,14,', ',14,,']),
    'lines.csv',
    /devices_created from 2026-03-01: total is not stored, its days come to 14$/,
  ],
  [
    'a standing that there is not',
    forged('coverage.csv', 'final', ['final', 'fine']),
    'coverage.csv',
    /^line 2: standing is fine$/,
  ],
  ['rows reordered', (c) => c.forge('days.csv', swapped), 'days.csv', /^line 3 is out of order$/],
  [
    'a line doubled',
    (c) => c.forge('lines.csv', twice('devices_created')),
    'lines.csv',
    /^line 3 has the key of the line before it$/,
  ],
  [
    'a row more than the manifest has',
    (c) => c.editManifest((m) => void ((m.files[1] as ManifestFile).rows += 1)),
    'sources.csv',
    /^has 2 rows, the manifest says 3$/,
  ],
];
