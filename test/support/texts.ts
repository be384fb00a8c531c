/** Parts of texts, to be expected in place of a whole text. */
import { expect } from 'vitest';

/** Matches any text that contains this one. */
export const containing = (text: string): string => expect.stringContaining(text) as string;

/** Matches any text that the pattern matches. */
export const matching = (pattern: RegExp): string => expect.stringMatching(pattern) as string;
