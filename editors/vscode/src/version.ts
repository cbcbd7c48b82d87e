/** Whether a version of the command line fits this extension. */

export interface Range {
  readonly from: string;
  readonly below: string;
}

/** The version in what `remora --version` prints; undefined where it prints something else. */
export function versionIn(printed: string): string | undefined {
  return /^remora (\d+\.\d+\.\d+)/m.exec(printed)?.[1];
}

/** Whether `from <= version < below`, number by number. */
export function fits(version: string, range: Range): boolean {
  return compare(version, range.from) >= 0 && compare(version, range.below) < 0;
}

function compare(left: string, right: string): number {
  const [a, b] = [numbers(left), numbers(right)];
  const different = a.findIndex((number, index) => number !== b[index]);
  return different < 0 ? 0 : (a[different] ?? 0) - (b[different] ?? 0);
}

function numbers(version: string): number[] {
  return version.split('.').map(Number);
}
