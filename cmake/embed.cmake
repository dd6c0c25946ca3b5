# Writes a C++ file that holds the text of FILES by folder/name: run by sql/CMakeLists.txt at build time.
set(text "// Generated from sql/ by cmake/embed.cmake.\n#include \"sql/embedded.h\"\n\nnamespace daybook::sql {\n\nconst std::map<std::string, std::string>& embedded() {\n  static const std::map<std::string, std::string> files = {\n")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  get_filename_component(folder ${file} DIRECTORY)
  get_filename_component(folder ${folder} NAME)
  file(READ ${file} content)
  # Compilers limit the length of one string literal (65,536 bytes in the standard's minimum): keep files below it.
  string(APPEND text "    {\"${folder}/${name}\", R\"daybook_sql(${content})daybook_sql\"},\n")
endforeach()
string(APPEND text "  };\n  return files;\n}\n\n}  // namespace daybook::sql\n")
file(WRITE ${OUTPUT} "${text}")
