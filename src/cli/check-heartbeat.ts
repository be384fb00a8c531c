import { probeHeartbeat } from '../worker/heartbeat.ts';
import { CheckError, type Finding } from './check-list.ts';

/** `checkHeartbeat` asks whether the monitor of HEARTBEAT_URL answers, without telling it anything. */
export async function checkHeartbeat(url: string): Promise<Finding<null>> {
  const answer = await probeHeartbeat(url);
  if (typeof answer === 'string') {
    throw new CheckError(
      'invalid',
      `the monitor of HEARTBEAT_URL does not answer: ${answer}`,
      'check the address and the network',
    );
  }
  if (answer >= 200 && answer < 300) return { message: 'the monitor answers', value: null };
  const hint =
    'with Healthchecks the id is wrong; another monitor may not know /log, which changes nothing there: see whether the next run arrives';
  return { message: `the monitor answers HTTP ${answer}`, hint, value: null };
}
