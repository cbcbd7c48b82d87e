/**
 * Which `remora` to run: the setting, the workspace's `.venv`, the Python extension's interpreter, then PATH.
 * Knows nothing of VS Code; where to look comes in.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import type { Program } from './process';
import { fits, versionIn, type Range } from './version';

export interface Places {
  /** The setting; empty where it is not set. */
  readonly setting: string;
  /** The workspace's folder; undefined where it is not trusted. */
  readonly workspace: string | undefined;
  /** The interpreter that the Python extension has chosen; undefined where there is none, or no trust. */
  readonly interpreter: string | undefined;
  readonly path: string;
  readonly windows: boolean;
}

export interface Found {
  readonly program: Program;
  readonly version: string;
  readonly fits: boolean;
}

/** The first `remora` that answers, whether it fits or not; undefined where none does. */
export async function find(places: Places, range: Range): Promise<Found | undefined> {
  for (const program of candidates(places)) {
    const version = versionIn(await printed(program, ['--version']));
    if (version !== undefined) return { program, version, fits: fits(version, range) };
  }
  return undefined;
}

/** Where it may be, best first; a setting is the only candidate. */
export function candidates(places: Places): Program[] {
  if (places.setting) return [[places.setting]];
  const [folder, name] = places.windows ? ['Scripts', 'remora.exe'] : ['bin', 'remora'];
  const folders = [
    ...(places.workspace ? [join(places.workspace, '.venv', folder)] : []),
    ...(places.interpreter ? [dirname(places.interpreter)] : []),
    ...places.path.split(delimiter).filter(isAbsolute),
  ];
  return folders.map((each) => join(each, name)).filter(existsSync).map((file): Program => [file]);
}

function printed(program: Program, words: readonly string[]): Promise<string> {
  const [file, ...before] = program;
  return new Promise((resolve) => {
    execFile(file, [...before, ...words], { timeout: 30_000 }, (_, stdout) => { resolve(stdout); });
  });
}
