/**
 * A message without what it names in particular, so that the same trouble of
 * many organizations and days is one cause. Losant's errors name in parentheses
 * what was asked for.
 */
export function withoutPlaces(message: string): string {
  return message
    .replaceAll(/ \((?:instance|org|days) [^()]*\)/g, '')
    .replaceAll(/\b[0-9a-f]{24}\b/g, 'ID')
    .replaceAll(/\b\d{4}-\d{2}-\d{2}(?:\.\.\d{4}-\d{2}-\d{2})?\b/g, 'DAY');
}
