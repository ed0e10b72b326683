'use strict'
const { spawn } = require('child_process')

// serve starts the static server over public/ and resolves to its port.
module.exports = async t => {
  const program = require.resolve('@vivaxy/here')
  const server = spawn(process.execPath, [program, '--port', '3000', '--directory', 'public', '--silent'], { stdio: 'ignore' })
  const died = new Promise((resolve, reject) => server.on('exit', code => reject(new Error(`the server ended with ${code}`))))
  await Promise.race([t.ready(3000, 20000), died])
  return 3000
}
