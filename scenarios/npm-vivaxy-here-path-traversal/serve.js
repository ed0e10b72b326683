'use strict'
const { spawn } = require('child_process')

// serve starts the static server over public/ and resolves to its port.
module.exports = async t => {
  const program = require.resolve('@vivaxy/here')
  spawn(process.execPath, [program, '--port', '3000', '--directory', 'public', '--silent'], { stdio: 'ignore' })
  await t.ready(3000, 20000)
  return 3000
}
