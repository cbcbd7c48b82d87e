// The part of the Python extension's API that is read, with an interpreter that lies beside the workspace's folder.
const path = require('node:path');

exports.activate = () => ({
  environments: {
    getActiveEnvironmentPath: (folder) => ({ id: 'standin', path: path.resolve(folder.fsPath, '..', 'interpreter', 'bin', 'python3') }),
  },
});
