/**
 * Decides whether a list of organizations that is read page by page is complete. Pages are asked for
 * by number and sorted by id, so a list that changes meanwhile shifts: a deletion moves an
 * organization back onto a page that was already read.
 */

/** One page as received. */
export interface ListedPage {
  readonly page: number;
  /** The number of organizations of the instance according to this page. */
  readonly totalCount: number;
  /** The id of each item in lower case; null for an item without a readable id. */
  readonly ids: readonly (string | null)[];
}

/** The result of reading a list, by the list's own account. */
export interface OrgListVerdict {
  /**
   * True if the list had as many different organizations as `totalCount`, each with an id, and no page
   * contradicted another.
   */
  readonly isComplete: boolean;
  /** The reason why it is not complete; null if it is. */
  readonly reason: string | null;
  /** The number of different organizations listed, possibly including one that was deleted meanwhile. */
  readonly listed: number;
}

export type ListStep =
  | {
      readonly kind: 'accept';
      /** For each item, whether it is seen for the first time. */
      readonly fresh: readonly boolean[];
      /** The next step: read the `next` page, read it only if it was `asked` for already, or `end`. */
      readonly next: 'page' | 'asked' | 'end';
      /** The number of pages that may be requested ahead. */
      readonly pagesLeft: number;
    }
  /** Continue from this page instead; pages requested ahead are void. */
  | { readonly kind: 'read_again'; readonly page: number };

/** The most shifts without a page of progress between them; after that the list is read on as it is. */
const SHIFTS_IN_A_ROW_MAX = 5;

/** The most readings from the beginning, where only a new reading can show which organization was missed. */
const RESTARTS_MAX = 2;

/** The most ids remembered of a list that is not sorted; some 20 MB. */
const REMEMBERED_MAX = 200_000;

/** The bound for a list without an end, longer than any list of this API. */
const PAGES_MAX = 100_000;

/** The position up to which a list was read. */
interface Progress {
  readonly listed: number;
  readonly unidentified: number;
  /** The number of items up to the end of the page accepted last, as of that page. */
  readonly position: number;
  readonly lastId: string;
  /** The ids of the page accepted last. */
  readonly lastIds: ListedPage['ids'];
}

const NOTHING_READ: Progress = { listed: 0, unidentified: 0, position: 0, lastId: '', lastIds: [] };

/**
 * OrgListJudge judges the pages of one list in the order of their numbers. Up to `pagesAhead` pages
 * may be answered in any order. It remembers all ids only if the list is not sorted.
 */
export class OrgListJudge {
  readonly #pagesAhead: number;
  readonly #flaws = new Set<string>();
  /** The first page that added nothing although more items should follow. */
  #hole: string | null = null;
  /** The progress before each of the newest pages. */
  readonly #before = new Map<number, Progress>();
  #read = NOTHING_READ;
  #totalCount = 0;
  #pageSize = 0;
  /** Whether the list has shifted, so that the next page must overlap with what was read. */
  #mustOverlap = false;
  /** The last page that is read again and may overlap. */
  #overlapTo = -1;
  #shiftsInARow = 0;
  /** The page that showed the newest shift. */
  #shiftedAt = 0;
  #restarts = 0;
  #pages = 0;
  /** All ids so far; null as long as the list is sorted. */
  #remembered: Set<string> | null = null;

  constructor({ pagesAhead }: { readonly pagesAhead: number }) {
    this.#pagesAhead = pagesAhead;
  }

  take(listed: ListedPage): ListStep {
    this.#pages += 1;
    if (this.#pages > PAGES_MAX) {
      this.#flaws.add('it does not end');
      return { kind: 'accept', fresh: [], next: 'end', pagesLeft: 0 };
    }
    return this.#remembered === null ? this.#takeSorted(listed) : this.#takeUnsorted(listed);
  }

  verdict(): OrgListVerdict {
    const { listed, unidentified, position } = this.#read;
    const reasons = [...this.#flaws];
    if (this.#hole !== null) reasons.push(this.#hole);
    if (unidentified > 0) reasons.push(`${unidentified} of its items have no readable id`);
    if (position !== this.#totalCount) {
      reasons.push(`it lists ${listed} organizations and has ${this.#totalCount} by its own account`);
    }
    const reason = reasons.length === 0 ? null : reasons.join('; ');
    return { isComplete: reason === null, reason, listed };
  }

  #takeSorted(listed: ListedPage): ListStep {
    const { page, totalCount, ids } = listed;
    const repeated = countRepeated(ids, this.#read.lastId);
    if (!isAscending(ids) || (!this.#mayOverlap(page) && !this.#wereLast(ids.slice(0, repeated)))) {
      this.#remembered = new Set();
      return this.#restart();
    }
    if (this.#mustOverlap && page > 0 && repeated === 0) return { kind: 'read_again', page: page - 1 };
    if (!this.#mustOverlap && page > 0 && totalCount !== this.#totalCount) {
      if (this.#shiftsInARow < SHIFTS_IN_A_ROW_MAX) return this.#goBack(page);
      this.#flaws.add(CHANGING);
    }
    if (this.#hasMovedForward(listed, repeated)) {
      // An organization was inserted into the part already read; only another reading can show which one.
      if (this.#restarts < RESTARTS_MAX) return this.#restart();
      this.#flaws.add(CHANGING);
    }
    const fresh = ids.map((_, index) => index >= repeated);
    return this.#accept(listed, fresh);
  }

  /**
   * `#goBack` goes back after a shift. Any page that was under way together with this one may show the list
   * before or after the shift, so all of those are discarded, and the page before them is read again as an
   * overlap that leaves no gap.
   */
  #goBack(page: number): ListStep {
    this.#shiftsInARow += 1;
    this.#shiftedAt = page;
    const trusted = page - this.#pagesAhead - 1;
    const read = trusted > 0 ? this.#before.get(trusted) : undefined;
    if (read === undefined) return this.#startAgain();
    this.#read = read;
    this.#mustOverlap = true;
    this.#overlapTo = trusted - 1;
    return { kind: 'read_again', page: trusted - 1 };
  }

  /** `#hasMovedForward` returns whether more items now precede the ones the page adds than did before. */
  #hasMovedForward({ page, ids }: ListedPage, repeated: number): boolean {
    if (this.#mayOverlap(page)) return page * this.#pageSize + repeated > this.#read.position;
    return repeated > 0 && repeated < ids.length;
  }

  #takeUnsorted(listed: ListedPage): ListStep {
    const { page, totalCount, ids } = listed;
    const remembered = this.#remembered ?? new Set();
    if (page > 0 && totalCount !== this.#totalCount) {
      if (this.#restarts < RESTARTS_MAX) return this.#restart();
      this.#flaws.add(CHANGING);
    }
    const isNew = ids.map((id, index) => id !== null && !remembered.has(id) && ids.indexOf(id) === index);
    const isRepeat = ids.some((id) => id !== null) && !isNew.includes(true);
    for (const id of ids) if (id !== null && remembered.size < REMEMBERED_MAX) remembered.add(id);
    if (remembered.size >= REMEMBERED_MAX) this.#flaws.add('it is not sorted by id and too long to compare');
    const fresh = ids.map((id, index) => isNew[index] === true || (id === null && !isRepeat));
    return this.#accept(listed, fresh);
  }

  #accept({ page, totalCount, ids }: ListedPage, fresh: readonly boolean[]): ListStep {
    const wasReadAgain = this.#mayOverlap(page);
    const added = ids.filter((_, index) => fresh[index]);
    if (!wasReadAgain) this.#remember(page);
    this.#read = this.#withPage({ page, totalCount, ids }, added);
    this.#totalCount = totalCount;
    if (page === 0) this.#pageSize = ids.length;
    this.#mustOverlap = false;
    const left = totalCount - this.#read.position;
    const isBeyondMemory = left < 0 && (this.#remembered?.size ?? 0) >= REMEMBERED_MAX;
    if (left === 0 || isBeyondMemory) return { kind: 'accept', fresh, next: 'end', pagesLeft: 0 };
    if (added.length === 0 && !wasReadAgain) {
      this.#hole ??= ids.length === 0 ? `page ${page} is empty` : `page ${page} repeats earlier ones`;
      return { kind: 'accept', fresh, next: 'asked', pagesLeft: 0 };
    }
    if (!wasReadAgain && page >= this.#shiftedAt) this.#shiftsInARow = 0;
    // A page shorter than the first is not the end, but nothing can be planned by it.
    const pagesLeft = ids.length < this.#pageSize ? 0 : Math.max(0, Math.ceil(left / this.#pageSize));
    return { kind: 'accept', fresh, next: 'page', pagesLeft };
  }

  #withPage({ page, ids }: ListedPage, added: ListedPage['ids']): Progress {
    const { listed, unidentified, position, lastId, lastIds } = this.#read;
    const identified = added.filter((id) => id !== null);
    return {
      listed: listed + identified.length,
      unidentified: unidentified + added.length - identified.length,
      position: this.#mayOverlap(page) ? page * this.#pageSize + ids.length : position + added.length,
      lastId: identified.at(-1) ?? lastId,
      lastIds: added.length === 0 ? lastIds : ids,
    };
  }

  #remember(page: number): void {
    this.#before.set(page, this.#read);
    this.#before.delete(page - this.#pagesAhead - 2);
  }

  #restart(): ListStep {
    this.#restarts += 1;
    this.#flaws.clear();
    return this.#startAgain();
  }

  #startAgain(): ListStep {
    this.#read = NOTHING_READ;
    this.#before.clear();
    this.#hole = null;
    this.#mustOverlap = false;
    this.#overlapTo = -1;
    this.#remembered?.clear();
    return { kind: 'read_again', page: 0 };
  }

  #mayOverlap(page: number): boolean {
    return this.#mustOverlap || page <= this.#overlapTo;
  }

  #wereLast(ids: ListedPage['ids']): boolean {
    return ids.every((id) => id === null || this.#read.lastIds.includes(id));
  }
}

const CHANGING = 'it kept changing while it was read';

function isAscending(ids: ListedPage['ids']): boolean {
  const identified = ids.filter((id) => id !== null);
  return identified.every((id, index) => index === 0 || id > (identified[index - 1] ?? ''));
}

/** `countRepeated` returns the number of items up to the last one whose id is not after `lastId`. */
function countRepeated(ids: ListedPage['ids'], lastId: string): number {
  return ids.findLastIndex((id) => id !== null && id <= lastId) + 1;
}
