import { attentionMutants } from './attention.ts';
import { billingMutants } from './billing.ts';
import { boundMutants } from './bounds.ts';
import { commandMutants } from './commands.ts';
import { consoleMutants } from './console.ts';
import { ledgerMutants } from './ledger.ts';
import { loadingMutants } from './loading.ts';
import { lockMutants } from './locks.ts';
import { losantMutants } from './losant.ts';
import { monthMutants } from './months.ts';
import { packMutants } from './packs.ts';
import { storeMutants } from './store.ts';
import { streamMutants } from './streams.ts';
import { trackMutants } from './tracks.ts';
import { usageMutants } from './usage.ts';
import { viewMutants } from './views.ts';
import { workerMutants } from './worker.ts';
import { worldMutants } from './world.ts';

export const MUTANTS = [
  usageMutants,
  streamMutants,
  ledgerMutants,
  trackMutants,
  storeMutants,
  lockMutants,
  boundMutants,
  losantMutants,
  loadingMutants,
  billingMutants,
  packMutants,
  monthMutants,
  viewMutants,
  commandMutants,
  consoleMutants,
  workerMutants,
  worldMutants,
  attentionMutants,
].flat();
