"""The page at /, in the Chromium that Debian packages: a browser as users have one, driven by its own driver."""

import shutil
from collections.abc import Iterator

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.kserve.running import running

NEEDED = "The page's tests need chromium and chromedriver: apt-get install chromium chromium-driver."


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.fail(NEEDED)
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, predictor) -> webdriver.Chrome:
    browser.set_window_size(1000, 900)
    browser.get(f"{predictor.url}/")
    return browser


def field(page, name):
    return page.find_element(By.ID, name)


def ranked(page):
    WebDriverWait(page, 20).until(lambda page: "model ranklift" in field(page, "status").text)
    return page.find_elements(By.CSS_SELECTOR, "#results li")


def test_a_click_ranks_the_example_with_bars_scores_time_and_version(page, client):
    page.find_element(By.CSS_SELECTOR, "#form button").click()
    rows = ranked(page)
    query = field(page, "query").get_attribute("value")
    documents = field(page, "documents").get_attribute("value").split("\n")
    expected = client.post("/find_similar", json={"query": query, "documents": documents}).json()
    texts = [row.find_element(By.CLASS_NAME, "text").text for row in rows]
    assert texts == [documents[item["index"]] for item in expected["ranking"]]
    for row, item in zip(rows, expected["ranking"], strict=True):
        assert float(row.find_element(By.CLASS_NAME, "score").text) == pytest.approx(item["score"], abs=1e-4)
        track = row.find_element(By.CLASS_NAME, "track").size["width"]
        bar = row.find_element(By.CLASS_NAME, "bar").size["width"]
        assert bar == pytest.approx(track * min(1, max(0, item["score"])), abs=2)
    status = field(page, "status").text
    assert status.startswith("4 documents in ")
    assert expected["model_version"] in status


def test_it_works_from_the_keyboard_alone(page):
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB, Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "search-query"
    page.switch_to.active_element.send_keys(Keys.TAB, Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "query"
    page.switch_to.active_element.send_keys(Keys.CONTROL, "a")
    page.switch_to.active_element.send_keys("a tree", Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "documents"
    page.switch_to.active_element.send_keys(Keys.CONTROL, "a")
    page.switch_to.active_element.send_keys("first", Keys.ENTER, Keys.ENTER, "second", Keys.CONTROL, Keys.ENTER)
    assert len(ranked(page)) == 2


def test_it_fits_a_narrow_window(page):
    page.set_window_size(500, 800)
    page.execute_script("document.documentElement.style.width = '320px'")
    page.find_element(By.CSS_SELECTOR, "#form button").click()
    ranked(page)
    assert page.execute_script("return document.body.scrollWidth") <= 320
    page.execute_script("document.documentElement.style.width = ''")


def test_search_shows_the_hits_of_the_index_with_ids_and_versions(page, client):
    field(page, "search-query").send_keys("a path", Keys.ENTER)
    rows = ranked(page)
    expected = client.post("/search", json={"query": "a path"}).json()
    assert [row.find_element(By.CLASS_NAME, "id").text for row in rows] == [hit["id"] for hit in expected["hits"]]
    assert [row.find_element(By.CLASS_NAME, "text").text for row in rows] == [hit["text"] for hit in expected["hits"]]
    assert f"and index {expected['index_version']}." in field(page, "status").text


def test_search_is_hidden_without_an_index(browser, exported_tiny_model, tmp_path):
    with running(exported_tiny_model, tmp_path) as started:
        browser.get(f"{started.url}/")
        assert not field(browser, "search").is_displayed()


def test_a_refusal_is_shown_in_its_own_words(page):
    documents = field(page, "documents")
    page.execute_script("arguments[0].value = Array(1200).fill('a').join('\\n')", documents)
    page.find_element(By.CSS_SELECTOR, "#form button").click()
    WebDriverWait(page, 20).until(lambda page: "is the limit" in field(page, "status").text)
    assert page.find_elements(By.CSS_SELECTOR, "#results li") == []


def test_markup_in_a_document_is_text(page):
    documents = field(page, "documents")
    page.execute_script("arguments[0].value = '<img src=x onerror=document.title=1>'", documents)
    page.find_element(By.CSS_SELECTOR, "#form button").click()
    (row,) = ranked(page)
    assert row.find_element(By.CLASS_NAME, "text").text.startswith("<img")
    assert page.title == "ranklift: try the model"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_nothing_comes_from_elsewhere_and_nothing_is_blocked(browser, predictor, path):
    browser.get_log("browser")
    browser.get(predictor.url + path)
    WebDriverWait(browser, 20).until(lambda page: "ranklift" in page.find_element(By.TAG_NAME, "body").text)
    names = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert names
    assert all(name.startswith((predictor.url, "data:")) for name in names)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_what_is_no_browser_gets_a_sign_of_life(predictor):
    assert httpx.get(predictor.url).json() == {"status": "alive"}
    assert httpx.get(predictor.url, headers={"Accept": "text/html"}).headers["content-type"].startswith("text/html")


def test_there_is_no_listing_of_folders_and_no_way_out_of_them(predictor):
    for path in ("/page/", "/page", "/docs/files/", "/page/../model.py", "/page/%2e%2e/model.py", "/page//etc/passwd"):
        assert httpx.get(predictor.url + path).status_code in {307, 404}, path
