/** Tasks of type `remora`, for tasks.json: the commands that make sense there, in a terminal, with our problem matcher. */
import * as vscode from 'vscode';
import type { Installation } from './installation';

/** An error at a line of a file, and one about a file as a whole. */
const PROBLEM_MATCHERS = ['$remora', '$remora-file'];
const COMMANDS = ['up', 'plan', 'provision', 'deploy', 'status'];

interface Definition extends vscode.TaskDefinition {
  readonly command: string;
  readonly args?: readonly string[];
}

export class Tasks implements vscode.TaskProvider {
  constructor(private readonly installation: Installation) {}

  async provideTasks(): Promise<vscode.Task[]> {
    if (!vscode.workspace.isTrusted) return [];
    const folders = vscode.workspace.workspaceFolders ?? [];
    const all = await Promise.all(folders.flatMap((folder) => COMMANDS.map((command) => this.task({ type: 'remora', command }, folder))));
    return all.filter((task) => task !== undefined);
  }

  resolveTask(task: vscode.Task): Promise<vscode.Task | undefined> {
    const folder = typeof task.scope === 'object' ? task.scope : vscode.workspace.workspaceFolders?.[0];
    return folder ? this.task(task.definition as Definition, folder) : Promise.resolve(undefined);
  }

  private async task(definition: Definition, folder: vscode.WorkspaceFolder): Promise<vscode.Task | undefined> {
    try {
      const [file, ...before] = await this.installation.program(folder.uri, true);
      const execution = new vscode.ProcessExecution(file, [...before, definition.command, ...(definition.args ?? [])], { cwd: folder.uri.fsPath });
      return new vscode.Task(definition, folder, definition.command, 'remora', execution, PROBLEM_MATCHERS);
    } catch {
      return undefined; // not installed: nothing to offer
    }
  }
}
