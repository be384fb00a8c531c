/** Names that users see: SQL, JSON, options, settings, metrics, alerts. A name in snake_case stands for camelCase too. */
const NAMES: Readonly<Record<string, string>> = {
  wanted_cells: 'expected_cells',
  days_accepted: 'days_waived',
  removed_on: 'deleted_on',
  organizations_removed: 'organizations_deleted',
  removals_refused: 'deletions_not_confirmed',
  period_blockers: 'month_blockers',
  period_usage: 'billing_period_usage',
  usage_beside: 'usage_compared',
  before_date: 'previous_date',
  before_quantity: 'previous_quantity',
  month_controls: 'month_reconciliation',
  require_closable: 'check_closable',
  open_statement: 'begin_statement',
  seal_statement: 'add_pack_file',
  unfilled: 'unrecorded_cells',
  open_cells: 'non_final_cells',
  settle_days: 'roll_up_days',
  sum_days: 'compute_our_sums',
  as_of_now: 'current_standing',
  is_by_hand: 'is_manual_write',
  to_day: 'last_day',
  from_date: 'first_day',
  to_date: 'last_day',
  verified_at: 'last_read_at',
  attempted_at: 'last_attempt_at',
  lease_since: 'lease_acquired_at',
  lease_held: 'lease_busy',
  all_from: 'new_orgs_from',
  org_moved_on: 'org_transferred_on',
  is_left: 'is_recently_deleted',
  is_moved: 'has_large_change',
  is_held: 'is_withheld',
  usual_quantity: 'baseline_quantity',
  week_quantity: 'last_7_days_quantity',
  crosses_on: 'exceeds_on',
  what_to_do: 'remedy',
  orgs_different: 'orgs_to_adjust',
  lines_different: 'lines_to_adjust',
  days_open: 'days_pending',
  orgs_open: 'orgs_unsettled',
  found_hash: 'current_hash',
  accepted_hash: 'blockers_hash',
  final_changes: 'final_restatements',
  final_changes_total: 'final_restatements_total',
  final_changes_30_days: 'final_restatements_30_days',
  not_in_settings: 'unconfigured_instances',
  reading_age_ms: 'snapshot_age_ms',
  yesterday_open_cells: 'yesterday_incomplete_cells',
  database_reading_age_seconds: 'ledger_snapshot_age_seconds',
  newest_day_read_timestamp_seconds: 'newest_read_day_end_timestamp_seconds',
  token_refused: 'token_rejected',
  final_at_hours: 'final_after_hours',
  FINAL_AT_HOURS: 'FINAL_AFTER_HOURS',
  LosantUsageTokenRefused: 'LosantUsageTokenRejected',
  LosantUsageFinalNumberChanged: 'LosantUsageFinalCellsRestated',
  LosantUsageYesterdayMissing: 'LosantUsageDayOverdue',
  LosantUsageGaugesOld: 'LosantUsageMetricsStale',
  '--period': '--month',
  '--incomplete': '--accept-blockers',
  '--name-again': '--confirm',
  '--date': '--day',
  '--end': 'retire --instance',
};

/** Patterns of words in texts, comments and identifiers. */
const WORDS: Readonly<Record<string, string>> = {
  'answer(s|ed|ing)?': 'response, responds, reports',
  'set(s|ting)? aside': 'quarantined',
  'left out|leav(e|es|ing) out': 'omitted',
  'wanted(?!By=)': 'expected',
  'invoic(ed|ing)': 'billed',
  silences: 'omissions',
  beside: 'next to, compared with',
  'all right': 'settled, or the standing',
  theirs: 'the control total, or its owner',
  'judg(e|es|ed|ing)': 'monitor, validate, classify',
  believed: 'confirmed',
  told: 'reported',
  'lapse[sd]?': 'expires',
  removals: 'deletions',
  'troubles?': 'problem',
  'stor(y|ies)': 'explanation',
  'any more': 'no longer',
  'holds? by (itself|themselves)': 'is valid',
  'how (it|they|each|a \\w+|the \\w+) stands?': 'its standing',
  '(days?|months?|periods?) (that )?(is|are|was)( not)? over': 'has ended',
  'final changes?': 'final restatement',
  'Losant (still )?(keeps?|kept)(?! \\w+ing)': 'Losant retains',
  'Losant refuse[sd]?': 'Losant rejects',
  'refused (by|of) Losant': 'rejected by Losant',
  'counted elsewhere': 'counterpart',
};

/** An occurrence of a replaced name or word. */
export interface OldWord {
  readonly line: number;
  readonly word: string;
  readonly write: string;
}

const toCamelCase = (name: string) => name.replaceAll(/_([a-z0-9])/g, (_, next: string) => next.toUpperCase());

function toNamePattern(name: string): string {
  const names = [...new Set([name, toCamelCase(name)])].join('|');
  return `(?<![\\w-])(?:${names})(?!\\w)`;
}

/**
 * Matches a word alone and as a part of an identifier: `left_out`, `leftOut`, `isLeftOut`. A space in it matches what
 * separates the words of an identifier, and a line break with the margin of a comment.
 */
function toWordPattern(word: string): string {
  const margin = word.replaceAll(' ', String.raw`(?:[ _]|(?<=[a-z])(?=[A-Z])|\n *(?://|--|\*|#) *|\n *)`);
  return `(?<![A-Za-z])(?i:${margin})(?![a-z])|(?<=[a-z])(?=[A-Z])(?i:${margin})(?![a-z])`;
}

const OLD = [
  ...Object.entries(NAMES).map(([name, write]) => [new RegExp(toNamePattern(name), 'g'), write] as const),
  ...Object.entries(WORDS).map(([word, write]) => [new RegExp(toWordPattern(word), 'g'), write] as const),
];

/** Returns the replaced names and words of a text in the order of its lines. */
export function findOldWords(text: string): OldWord[] {
  const occurrences = OLD.flatMap(([pattern, write]) =>
    [...text.matchAll(pattern)].map(({ 0: word, index }) => ({
      line: text.slice(0, index).split('\n').length,
      word: word.replaceAll(/\s+/g, ' '),
      write,
    })),
  );
  return occurrences.toSorted((a, b) => a.line - b.line);
}
