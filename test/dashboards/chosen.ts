import type { Chosen } from './dashboards.ts';
import { ACME, NORTH, SOUTH } from './seed.ts';

/** Begins on 30 September in Los Angeles, and ends on 3 November in Kiritimati. */
export const CHOSEN: Chosen = {
  from: '2026-10-01T06:30:00Z',
  to: '2026-11-02T18:00:00Z',
  variables: {
    instance: [NORTH, SOUTH],
    org: [ACME],
    tag: ['tier'],
    stream: ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources'],
  },
};

/** 1 November in Kiritimati. */
export const LOOKED_AT = '2026-10-31T12:00:00Z';
