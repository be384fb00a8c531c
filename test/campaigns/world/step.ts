import type { Dice } from './dice.ts';
import type { World } from './world.ts';

/** A kind of step. What a step of it does is drawn from the step's own dice, whatever comes before it. */
export interface Kind {
  /** How often it comes, relative to the others. */
  readonly weight: number;
  /** Plays a step and describes what was done. */
  play(world: World, dice: Dice): Promise<string>;
}
