/** The `remora` of this window: found once, found again when a setting changes, offered for installation when missing. */
import * as vscode from 'vscode';
import { find, type Found } from './finder';
import type { Program } from './process';
import type { Range } from './version';

/** There is no `remora` that can be run; the user has been told. */
export class NotInstalled extends Error {}

interface PythonExtension {
  readonly environments: { getActiveEnvironmentPath(resource?: vscode.Uri): { readonly path: string } };
}

export class Installation {
  private readonly found = new Map<string, Promise<Found | undefined>>();

  constructor(private readonly range: Range) {}

  /** The program for a folder. Throws NotInstalled where there is none; `quiet` offers nothing. */
  async program(folder: vscode.Uri, quiet = false): Promise<Program> {
    const found = await this.lookUp(folder);
    if (found?.fits) return found.program;
    this.forget(); // it may be installed or updated before the next call
    const what = found
      ? `This extension works with remora ${this.range.from} up to, not including, ${this.range.below}; ${found.program.join(' ')} is ${found.version}.`
      : 'There is no remora in the workspace’s .venv, in the Python interpreter’s folder or on the PATH.';
    if (!quiet) void this.offer(what, folder);
    throw new NotInstalled(what);
  }

  /** Look again at the next call. */
  forget(): void {
    this.found.clear();
  }

  private lookUp(folder: vscode.Uri): Promise<Found | undefined> {
    const key = folder.toString();
    const known = this.found.get(key) ?? look(folder, this.range);
    this.found.set(key, known);
    return known;
  }

  private async offer(what: string, folder: vscode.Uri): Promise<void> {
    const choices = vscode.workspace.isTrusted ? ['Install', 'Open setting'] : ['Open setting'];
    const choice = await vscode.window.showErrorMessage(what, ...choices);
    if (choice === 'Install') await install(folder);
    if (choice === 'Open setting') await vscode.commands.executeCommand('workbench.action.openSettings', 'remora.path');
  }
}

async function look(folder: vscode.Uri, range: Range): Promise<Found | undefined> {
  const trusted = vscode.workspace.isTrusted;
  return find(
    {
      setting: vscode.workspace.getConfiguration('remora', folder).get('path', ''),
      workspace: trusted ? folder.fsPath : undefined,
      interpreter: trusted ? await interpreter(folder) : undefined,
      path: process.env.PATH ?? '',
      windows: process.platform === 'win32',
    },
    range,
  );
}

async function interpreter(folder: vscode.Uri): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension<PythonExtension>('ms-python.python');
  if (!extension) return undefined;
  const python = extension.isActive ? extension.exports : await extension.activate();
  return python.environments.getActiveEnvironmentPath(folder).path;
}

/** In a terminal, so that everybody sees what is installed from where. */
async function install(folder: vscode.Uri): Promise<void> {
  const wanted = await vscode.window.showInputBox({
    title: 'Install remora',
    prompt: 'What pip installs into .venv of this folder: a requirement, a wheel or a folder',
    value: vscode.workspace.getConfiguration('remora', folder).get('package', ''),
    ignoreFocusOut: true,
  });
  if (!wanted) return;
  const windows = process.platform === 'win32';
  const python = windows ? '.venv\\Scripts\\python.exe' : '.venv/bin/python';
  const execution = new vscode.ShellExecution(
    `${windows ? 'py' : 'python3'} -m venv .venv && ${python} -m pip install ${JSON.stringify(wanted)}`,
  );
  const scope = vscode.workspace.getWorkspaceFolder(folder) ?? vscode.TaskScope.Workspace;
  await vscode.tasks.executeTask(new vscode.Task({ type: 'shell' }, scope, 'Install remora', 'remora', execution));
}
