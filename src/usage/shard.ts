/** A part of all organizations, by a hash of their ids: part `index`, from 0, of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}
